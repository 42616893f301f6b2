// The rules that hold for every op; those of one kind stand in its room.
#include <stdexcept>

#include "ops/rules.h"
#include "program.h"

namespace sluice {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 26;

[[noreturn]] void refuse(const std::string& where, const std::string& rule) {
  throw std::invalid_argument(where + ": " + rule);
}

void require(bool rule, const OpSpec& op, const char* message) {
  if (!rule) refuse("op '" + op.name + "'", message);
}

void check_shape(const ValueSpec& value, const std::string& where) {
  if (value.shape.size() != 1 && (value.shape.size() != 3 || value.is_gate)) refuse(where, "shape has a wrong rank");
  if (value.shape[0] < 1 || value.shape[0] > kMaxChannels) refuse(where, "number of channels is out of range");
  int64_t elements = value.shape[0];
  for (size_t axis = 1; axis < value.shape.size(); ++axis) {
    if (value.shape[axis] < 1 || value.shape[axis] > kMaxSide) refuse(where, "side is out of range");
    elements *= value.shape[axis];
  }
  if (elements > kMaxElements) refuse(where, "has too many elements");
}

// After all shapes, because it needs the number of flags of a gate.
void check_runs(const ProgramSpec& program, const ValueSpec& value, const std::string& where) {
  int64_t channels = 0;
  for (const ChannelRun& run : value.runs) {
    if (run.count < 1) refuse(where, "a run of channels is empty");
    channels += run.count;
    if (run.gate == -1) continue;
    if (value.is_gate || run.gate < 0 || run.gate >= static_cast<int>(program.values.size()) ||
        !program.values[run.gate].is_gate)
      refuse(where, "gate is out of range");
    if (run.first < 0 || run.repeat < 1 ||
        int64_t{run.first} + (run.count - 1) / run.repeat >= program.values[run.gate].channels())
      refuse(where, "gate does not fit the channels");
  }
  if (!value.runs.empty() && (value.is_gate || channels != value.channels()))
    refuse(where, "runs do not add up to its channels");
}

// Walks the ops in order and keeps track of the values written so far.
class Checker final {
 public:
  explicit Checker(const ProgramSpec& program)
      : program_(checked_values(program)), maps_(program), written_(program.values.size(), false) {}

  void run() {
    check_end(program_.input, "input");
    if (!value(program_.input).is_plane()) refuse("input", "must be a plane");
    if (program_.outputs.empty()) refuse("outputs", "are none");
    for (const int output : program_.outputs) check_end(output, "output");
    written_[program_.input] = true;
    for (const OpSpec& op : program_.ops) check_op(op);
    for (const bool written : written_)
      if (!written) refuse("program", "a value is never written");
  }

 private:
  static const ProgramSpec& checked_values(const ProgramSpec& program) {
    const auto name = [](size_t index) { return "value " + std::to_string(index); };
    for (size_t i = 0; i < program.values.size(); ++i) check_shape(program.values[i], name(i));
    for (size_t i = 0; i < program.values.size(); ++i) check_runs(program, program.values[i], name(i));
    return program;
  }

  void check_end(int index, const char* end) const {
    if (index < 0 || index >= static_cast<int>(program_.values.size())) refuse(end, "is out of range");
    if (value(index).is_gate || !maps_[index].empty()) refuse(end, "must be a tensor without gated channels");
  }

  void check_op(const OpSpec& op) {
    for (const int input : op.inputs) require(is_written(input), op, "reads a value that is not written");
    for (const auto* gates : {&op.when, &op.unless})
      for (const int gate : *gates)
        require(is_written(gate) && is_flag(gate), op, "stands under what is no gate of one flag");
    const bool writes = op.output != -1;
    if (writes) check_output(op);
    const Shape shape = op.room->check(Rules(program_, maps_, op));
    require(shape.empty() != writes, op, "has an output, or lacks one");
    require(!writes || value(op.output).shape == shape, op, "output has another shape than the op gives");
    if (writes) written_[op.output] = true;
  }

  void check_output(const OpSpec& op) const {
    require(op.output >= 0 && op.output < static_cast<int>(written_.size()), op, "output is out of range");
    require(!written_[op.output], op, "writes a value a second time");
    for (const ChannelRun& run : value(op.output).runs)
      require(run.gate == -1 || written_[run.gate], op, "uses a gate that is not written");
  }

  const ValueSpec& value(int index) const { return program_.values[index]; }
  bool is_written(int index) const {
    return index >= 0 && index < static_cast<int>(written_.size()) && written_[index];
  }
  bool is_flag(int index) const { return value(index).is_gate && value(index).channels() == 1; }

  const ProgramSpec& program_;
  ChannelMaps maps_;
  std::vector<bool> written_;
};

}  // namespace

void check_program(const ProgramSpec& program) { Checker(program).run(); }

}  // namespace sluice
