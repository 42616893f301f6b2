// x (1 + weight n) + bias with n = |x_c| / (mean of |x_c| + eps), |x_c| the length of a channel's pixels. Of a value
// that no gate closes every channel is stored, so entry and channel are one.
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
  rules.plane();
  rules.per_channel(rules.op.weight);
  rules.per_channel(rules.op.bias);
  rules.require(number(rules.op, "eps") >= 0.0f, "eps is below zero");
  return rules.in().shape;
}

class ResponseNorm final : public Operator {
 public:
  ResponseNorm(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]), out_(op.output), channels_(plan.value(in_).channels()), epsilon_(number(op, "eps")) {
    for (int c = 0; c < channels_; ++c) {
      weight_.push_back(op.weight.data == nullptr ? 1.0f : op.weight.data[c]);
      bias_.push_back(op.bias.data == nullptr ? 0.0f : op.bias.data[c]);
    }
    room_ = static_cast<size_t>(blocks_of(channels_)) * kLanes;
  }

  size_t scratch_floats() const override { return 2 * room_; }

  void run(RunState& state) const override {
    const View& in = state.views[in_];
    const int blocks = blocks_of(channels_);
    float *lengths = state.scratch(0), *zeros = lengths + room_;
    std::fill_n(zeros, room_, 0.0f);
    state.pool.run(blocks, [&](int block, int) { state.kernels.squares({in, zeros, lengths, block, block + 1}); });
    const float mean = take_lengths(lengths, static_cast<double>(in.height) * in.width);
    for_blocks(state, state.views[out_], blocks, [&](int block, Span rows) {
      scale_rows(state, in, state.views[out_], block, rows, lanes_at(block, lengths, mean));
    });
  }

 private:
  // From mean squares; returns the mean over the channels.
  float take_lengths(float* values, double pixels) const {
    double sum = 0.0;
    for (int c = 0; c < channels_; ++c) {
      const double length = std::sqrt(values[c] * pixels);
      values[c] = static_cast<float>(length);
      sum += length;
    }
    return static_cast<float>(sum / channels_);
  }

  Lanes lanes_at(int block, const float* lengths, float mean) const {
    Lanes lanes;
    for (int lane = 0, c = block * kLanes; lane < kLanes && c < channels_; ++lane, ++c) {
      lanes.scale[lane] = 1.0f + weight_[c] * (lengths[c] / (mean + epsilon_));
      lanes.shift[lane] = bias_[c];
    }
    return lanes;
  }

  int in_, out_, channels_;
  float epsilon_;
  std::vector<float> weight_, bias_;
  size_t room_;
};

OperatorPtr make(const Making& making) { return std::make_unique<ResponseNorm>(making.plan, making.op); }

}  // namespace

extern const OpRoom response_norm_room;
const OpRoom response_norm_room = {"response_norm", check, make};

}  // namespace sluice
