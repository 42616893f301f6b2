// Sums. An open channel of the output is the sum over the inputs in which it is open; a skipped input adds nothing.
#include <algorithm>

#include "activations.h"
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(2, kMaxInputs);
  rules.out();
  applied(rules.op);
  for (size_t i = 1; i < rules.op.inputs.size(); ++i)
    rules.require(rules.in(static_cast<int>(i)).shape == rules.in().shape, "adds values of different shapes");
  return rules.in().shape;
}

class Add final : public Operator {
 public:
  explicit Add(const OpSpec& op) : inputs_(op.inputs), out_(op.output), activation_(applied(op)) {}

  void run(RunState& state) const override {
    std::vector<int> alike;                   // inputs that store the same channels as the output
    std::vector<std::vector<Source>> others;  // of the others, what of each lies where
    for (const int input : inputs_) {
      if (!state.present[input]) continue;
      if (state.plan.list_of(input) == state.plan.list_of(out_))
        alike.push_back(input);
      else
        others.push_back(sources_of(state, input, out_, [](int channel) { return channel; }));
    }
    const View& out = state.views[out_];
    const int blocks = blocks_of(state.open(out_).count);
    if (others.empty() && !alike.empty())
      for_rows(state, out, blocks, [&](int block, int y) { add_row(state, alike, block, y, activation_.clamp); });
    else
      add_all(state, alike, others, blocks);
    apply_curve(state, activation_, out, blocks);
  }

 private:
  void add_row(RunState& state, const std::vector<int>& inputs, int block, int y, Clamp clamp) const {
    const View& out = state.views[out_];
    const size_t count = static_cast<size_t>(out.width) * kLanes;
    const size_t last = std::max<size_t>(inputs.size(), 2) - 1;
    const float* sum = row_of(state.views[inputs[0]], block, y);
    for (size_t i = 1; i <= last; ++i) {
      const float* other = i < inputs.size() ? row_of(state.views[inputs[i]], block, y) : nullptr;
      state.kernels.elementwise({sum, other, row_of(out, block, y), count, i == last ? clamp : kNoClamp});
      sum = row_of(out, block, y);
    }
  }

  void add_all(RunState& state, const std::vector<int>& alike, const std::vector<std::vector<Source>>& others,
               int blocks) const {
    const View& out = state.views[out_];
    const int channels = state.open(out_).count;
    const size_t count = static_cast<size_t>(out.width) * kLanes;
    for_blocks(state, out, blocks, [&](int block, Span rows) {
      const int first = block * kLanes;
      for (int y = rows.begin; y < rows.end; ++y) {
        float* row = row_of(out, block, y);
        if (alike.empty())
          std::fill_n(row, count, 0.0f);
        else
          add_row(state, alike, block, y, kNoClamp);
        for (const std::vector<Source>& sources : others)
          gather_row(state, &sources[first], channels - first, y, row, out.width, true);
        state.kernels.elementwise({row, nullptr, row, count, activation_.clamp});
      }
    });
  }

  std::vector<int> inputs_;
  int out_;
  Applied activation_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Add>(making.op); }

}  // namespace

extern const OpRoom add_room;
const OpRoom add_room = {"add", check, make};

}  // namespace sluice
