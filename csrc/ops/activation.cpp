// An activation by itself.
#include "activations.h"
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  applied(rules.op, "function");
  return rules.like_input();
}

class Activate final : public Operator {
 public:
  explicit Activate(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), activation_(applied(op, "function")) {}

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    const int blocks = blocks_of(state.open(in_).count);
    for_rows(state, out, blocks, [&](int block, int y) {
      state.kernels.elementwise({row_of(in, block, y), nullptr, row_of(out, block, y),
                                 static_cast<size_t>(out.width) * kLanes, activation_.clamp});
    });
    apply_curve(state, activation_, out, blocks);
  }

 private:
  int in_, out_;
  Applied activation_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Activate>(making.op); }

}  // namespace

extern const OpRoom activation_room;
const OpRoom activation_room = {"activation", check, make};

}  // namespace sluice
