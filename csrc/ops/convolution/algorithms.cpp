#include "algorithms.h"

#include <algorithm>

namespace sluice {

ConvWeights::ConvWeights(const OpSpec& op)
    : data(op.weight.data),
      out(static_cast<int>(op.weight.shape[0])),
      per_group(static_cast<int>(op.weight.shape[1])),
      taps(static_cast<int>(op.weight.shape[2] * op.weight.shape[3])),
      groups(integer(op, "groups")) {}

bool is_stem(const ProgramSpec& program, const OpSpec& op) {
  const ValueSpec& out = program.values[op.output];
  const auto is_open = [](const ChannelRun& run) { return run.gate == -1; };
  return op.inputs.size() == 1 && op.inputs[0] == program.input && op.when.empty() && op.unless.empty() &&
         program.values[program.input].channels() <= 4 && std::all_of(out.runs.begin(), out.runs.end(), is_open) &&
         integer(op, "groups") == 1 && integer(op, "dilation_y") == 1 && integer(op, "dilation_x") == 1;
}

bool is_winograd_shape(const OpSpec& op) {
  if (integer(op, "groups") != 1) return false;
  const Window w = window_of(op);
  return w.height == 3 && w.width == 3 && w.stride_y == 1 && w.stride_x == 1 && w.pad_y == 1 && w.pad_x == 1 &&
         w.extra_y == 0 && w.extra_x == 0 && w.dilation_y == 1 && w.dilation_x == 1;
}

}  // namespace sluice
