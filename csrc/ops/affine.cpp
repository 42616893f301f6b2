// y = x * scale + shift, of all channels alike.
#include <algorithm>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  number(rules.op, "scale");
  number(rules.op, "shift");
  return rules.like_input();
}

class Affine final : public Operator {
 public:
  explicit Affine(const OpSpec& op)
      : in_(op.inputs[0]), out_(op.output), scale_(number(op, "scale")), shift_(number(op, "shift")) {}

  void run(RunState& state) const override {
    const int channels = state.open(in_).count;
    for_blocks(state, state.views[out_], blocks_of(channels), [&](int block, Span rows) {
      Lanes lanes;
      const int stored = std::min(kLanes, channels - block * kLanes);
      std::fill_n(lanes.scale, stored, scale_);
      std::fill_n(lanes.shift, stored, shift_);
      scale_rows(state, state.views[in_], state.views[out_], block, rows, lanes);
    });
  }

 private:
  int in_, out_;
  float scale_, shift_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Affine>(making.op); }

}  // namespace

extern const OpRoom affine_room;
const OpRoom affine_room = {"affine", check, make};

}  // namespace sluice
