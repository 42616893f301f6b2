// Values below zero times a slope, one for each channel or one for all.
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.weight(1);
  const int64_t slopes = rules.weight_side(0);
  const Shape shape = rules.like_input();
  rules.require(slopes == 1 || slopes == shape[0], "slopes do not fit the channels");
  return shape;
}

class Prelu final : public Operator {
 public:
  Prelu(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {
    const size_t given = static_cast<size_t>(op.weight.shape[0]);
    for (int c = 0; c < plan.value(in_).channels(); ++c) slopes_.push_back(op.weight.data[given == 1 ? 0 : c]);
  }

  void run(RunState& state) const override {
    const OpenList open = state.open(in_);
    const View &in = state.views[in_], &out = state.views[out_];
    for_blocks(state, out, blocks_of(open.count), [&](int block, Span rows) {
      alignas(64) float slopes[kLanes] = {};
      for (int lane = 0, i = block * kLanes; lane < kLanes && i < open.count; ++lane, ++i)
        slopes[lane] = slopes_[open.channels[i]];
      for (int y = rows.begin; y < rows.end; ++y)
        state.kernels.bend_lanes(
            {row_of(in, block, y), row_of(out, block, y), static_cast<size_t>(out.width) * kLanes, slopes});
    });
  }

 private:
  int in_, out_;
  std::vector<float> slopes_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Prelu>(making.plan, making.op); }

}  // namespace

extern const OpRoom prelu_room;
const OpRoom prelu_room = {"prelu", check, make};

}  // namespace sluice
