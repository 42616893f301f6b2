// Every stride-th pixel, zero channels before and after: the shortcut "A" of CIFAR ResNets.
#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.no_map();
  const ValueSpec& in = rules.plane();
  const int stride = rules.between(1, kMaxStride, "stride");
  const int added = rules.between(0, kMaxChannels, "before") + rules.between(0, kMaxChannels, "after");
  return {added + in.channels(), (in.height() - 1) / stride + 1, (in.width() - 1) / stride + 1};
}

class Subsample final : public Operator {
 public:
  Subsample(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        stride_(integer(op, "stride")),
        before_(integer(op, "before")),
        channels_(plan.value(in_).channels()),
        blocks_(blocks_of(plan.value(out_).channels())) {}

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    clear(state, out, blocks_);
    state.pool.run(out.height, [&](int y, int) {
      for (int c = 0; c < channels_; ++c) {
        const float* from = lane_of(in, c, y * stride_);
        float* to = lane_of(out, before_ + c, y);
        for (int x = 0; x < out.width; ++x) to[x * kLanes] = from[static_cast<size_t>(x) * stride_ * kLanes];
      }
    });
  }

 private:
  int in_, out_, stride_, before_, channels_, blocks_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Subsample>(making.plan, making.op); }

}  // namespace

extern const OpRoom subsample_room;
const OpRoom subsample_room = {"subsample", check, make};

}  // namespace sluice
