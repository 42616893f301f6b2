// Group norm: channels of a group share mean and variance over the plane. A group is stored or not, as a whole.
#include <algorithm>
#include <cmath>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  const Shape shape = rules.like_input();
  const int groups = rules.between(1, shape[0], "groups");
  rules.require(shape[0] % groups == 0, "groups do not fit the channels");
  const ChannelMap map = rules.map();
  const size_t per_group = static_cast<size_t>(shape[0] / groups);
  for (size_t c = 0; c < map.size(); ++c)
    rules.require(map[c] == map[c / per_group * per_group], "part of a group may be closed");
  rules.per_channel(rules.op.weight);
  rules.per_channel(rules.op.bias);
  rules.require(number(rules.op, "eps") >= 0.0f, "eps is below zero");
  return shape;
}

class GroupNorm final : public Operator {
 public:
  GroupNorm(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output), epsilon_(number(op, "eps")) {
    const int channels = plan.value(in_).channels();
    per_group_ = channels / integer(op, "groups");
    for (int c = 0; c < channels; ++c) {
      weight_.push_back(op.weight.data == nullptr ? 1.0f : op.weight.data[c]);
      bias_.push_back(op.bias.data == nullptr ? 0.0f : op.bias.data[c]);
    }
    room_ = static_cast<size_t>(blocks_of(channels)) * kLanes;
  }

  size_t scratch_floats() const override { return 2 * room_; }

  void run(RunState& state) const override {
    const OpenList open = state.open(in_);
    const View& in = state.views[in_];
    const int blocks = blocks_of(open.count);
    float *means = state.scratch(0), *variances = means + room_;
    for_whole_blocks(state, in, blocks, [&](int block) { state.kernels.global_pool({in, means, block, block + 1}); });
    share_means(means, open.count);
    for_whole_blocks(state, in, blocks,
                     [&](int block) { state.kernels.squares({in, means, variances, block, block + 1}); });
    share_means(variances, open.count);
    for_blocks(state, state.views[out_], blocks, [&](int block, Span rows) {
      scale_rows(state, in, state.views[out_], block, rows, lanes_at(open, block, means, variances));
    });
  }

 private:
  template <class F>
  static void for_whole_blocks(RunState& state, const View& in, int blocks, const F& f) {
    const int chunks = blocks * in.height * in.width < kFewPixels ? 1 : blocks;
    state.pool.run(chunks, [&](int chunk, int) {
      const Span share = share_of(blocks, chunk, chunks);
      for (int block = share.begin; block < share.end; ++block) f(block);
    });
  }

  // The channels of a group have the mean of the group.
  void share_means(float* values, int count) const {
    for (int first = 0; first < count; first += per_group_) {
      double sum = 0.0;
      for (int i = 0; i < per_group_; ++i) sum += values[first + i];
      std::fill_n(values + first, per_group_, static_cast<float>(sum / per_group_));
    }
  }

  Lanes lanes_at(const OpenList& open, int block, const float* means, const float* variances) const {
    Lanes lanes;
    for (int lane = 0, i = block * kLanes; lane < kLanes && i < open.count; ++lane, ++i) {
      const int channel = open.channels[i];
      lanes.scale[lane] = weight_[channel] / std::sqrt(variances[i] + epsilon_);
      lanes.shift[lane] = bias_[channel] - means[i] * lanes.scale[lane];
    }
    return lanes;
  }

  int in_, out_, per_group_;
  float epsilon_;
  std::vector<float> weight_, bias_;
  size_t room_;
};

OperatorPtr make(const Making& making) { return std::make_unique<GroupNorm>(making.plan, making.op); }

}  // namespace

extern const OpRoom group_norm_room;
const OpRoom group_norm_room = {"group_norm", check, make};

}  // namespace sluice
