// x / sqrt(mean of x^2 + eps) * weight, the mean over the channels at each pixel.
#include <algorithm>
#include <cmath>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.no_map();
  rules.per_channel(rules.op.weight);
  rules.require(number(rules.op, "eps") >= 0.0f, "eps is below zero");
  return rules.in().shape;
}

class RmsNorm final : public Operator {
 public:
  RmsNorm(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        channels_(plan.value(in_).channels()),
        epsilon_(number(op, "eps")),
        counts_(make_floats(static_cast<size_t>(blocks_of(channels_)) * kLanes)),
        weight_(padded_weight(op, channels_)) {
    std::fill_n(counts_.get(), channels_, 1.0f);
  }

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    const Shares shares(state.pool.threads(), out.height, 1, 1, 1);
    state.pool.run(shares.chunks, [&](int chunk, int) {
      const Span rows = shares.rows_of(chunk);
      for (int y = rows.begin; y < rows.end; ++y)
        for (int x = 0; x < out.width; ++x) scale_pixel(in, out, y, x);
    });
  }

 private:
  void scale_pixel(const View& in, const View& out, int y, int x) const {
    const int blocks = blocks_of(channels_);
    float sums[kLanes] = {};
    for (int block = 0; block < blocks; ++block) {
      const float *from = row_of(in, block, y) + x * kLanes, *counts = counts_.get() + block * kLanes;
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] += counts[lane] * from[lane] * from[lane];
    }
    float sum = 0.0f;
    for (const float part : sums) sum += part;
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(channels_) + epsilon_);
    for (int block = 0; block < blocks; ++block) {
      const float *from = row_of(in, block, y) + x * kLanes, *weight = weight_.get() + block * kLanes;
      float* to = row_of(out, block, y) + x * kLanes;
      for (int lane = 0; lane < kLanes; ++lane) to[lane] = from[lane] * scale * weight[lane];
    }
  }

  int in_, out_, channels_;
  float epsilon_;
  Floats counts_, weight_;
};

OperatorPtr make(const Making& making) { return std::make_unique<RmsNorm>(making.plan, making.op); }

}  // namespace

extern const OpRoom rms_norm_room;
const OpRoom rms_norm_room = {"rms_norm", check, make};

}  // namespace sluice
