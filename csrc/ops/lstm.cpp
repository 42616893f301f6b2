// An LSTM cell.
#include <algorithm>
#include <cmath>

#include "matrix.h"
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  const OpSpec& op = rules.op;
  rules.reads(1, 2);
  rules.weight(2);
  const bool has_state = op.inputs.size() == 2;
  rules.require(rules.weight_side(0) % 4 == 0, "weight is out of range");
  const int hidden = static_cast<int>(rules.weight_side(0) / 4);
  rules.no_map();
  if (has_state) {
    rules.no_map(1);
    rules.require(rules.in(1).shape == Shape{2 * hidden}, "state does not fit");
  }
  rules.require(rules.weight_side(1) == rules.vector().channels() + (has_state ? hidden : 0),
                "weight does not fit its input");
  rules.bias(rules.weight_side(0));
  return {2 * hidden};
}

// One step of an LSTM whose state is one vector [h; c]; without one h = c = 0. The order of its four gates is
// torch's: input, forget, cell, output.
class Lstm final : public Operator {
 public:
  Lstm(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        state_(op.inputs.size() == 2 ? op.inputs[1] : -1),
        out_(op.output),
        features_(plan.value(in_).channels()),
        matrix_(op) {}

  size_t scratch_floats() const override { return matrix_.padded() + matrix_.rows; }

  void run(RunState& state) const override {
    const int hidden = matrix_.rows / 4;
    const float* memory = state_ == -1 ? nullptr : state.views[state_].data;
    float *x = state.scratch(0), *z = x + matrix_.padded(), *out = state.views[out_].data;
    std::fill_n(x, matrix_.padded(), 0.0f);
    std::copy_n(state.views[in_].data, features_, x);
    if (memory != nullptr) std::copy_n(memory, hidden, x + features_);
    state.macs += int64_t{matrix_.rows} * matrix_.columns;
    DotRows dot = {x, matrix_.weights.get(), matrix_.bias.get(), z};
    dot.in_blocks = blocks_of(matrix_.columns);
    dot.end = matrix_.rows;
    dot.clamp = kNoClamp;
    state.kernels.dot_rows(dot);
    for (int k = 0; k < hidden; ++k) {
      const float kept = memory == nullptr ? 0.0f : sigmoid(z[hidden + k]) * memory[hidden + k];
      const float cell = kept + sigmoid(z[k]) * std::tanh(z[2 * hidden + k]);
      out[k] = sigmoid(z[3 * hidden + k]) * std::tanh(cell);
      out[hidden + k] = cell;
    }
    std::fill(out + 2 * hidden, out + blocks_of(2 * hidden) * kLanes, 0.0f);
  }

 private:
  static float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

  int in_, state_, out_, features_;
  Matrix matrix_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Lstm>(making.plan, making.op); }

}  // namespace

extern const OpRoom lstm_room;
const OpRoom lstm_room = {"lstm", check, make};

}  // namespace sluice
