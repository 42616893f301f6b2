// Transposed convolution: weights [in, out / groups, kh, kw].
#include <algorithm>
#include <array>
#include <numeric>

#include "activations.h"
#include "planes.h"
#include "rules.h"
#include "shares.h"
#include "windows.h"

namespace sluice {
namespace {

// (side - 1) * stride - 2 * padding + reach + output_padding.
int out_side(const Rules& rules, int side, int64_t kernel, const char* axis) {
  const int64_t stride = rules.between(1, kMaxSide, along("stride", axis));
  const int64_t dilation = rules.between(1, kMaxSide, along("dilation", axis));
  const int64_t padding = rules.between(0, kMaxSide, along("padding", axis));
  const int64_t more = rules.between(0, kMaxSide, along("output_padding", axis));
  const int64_t reach = (kernel - 1) * dilation + 1;
  rules.require(reach <= kMaxSide && more < std::max(stride, dilation), "window or output_padding is out of range");
  const int64_t size = (side - 1) * stride - 2 * padding + reach + more;
  rules.require(size >= 1 && size <= kMaxSide, "output is out of range");
  return static_cast<int>(size);
}

Shape check(const Rules& rules) {
  const OpSpec& op = rules.op;
  rules.reads(1);
  rules.weight(4);
  rules.out();
  const ValueSpec& in = rules.plane();
  const int groups = rules.between(1, kMaxChannels, "groups");
  const int64_t out = rules.weight_side(1) * groups;
  rules.require(rules.weight_side(0) == in.channels() && in.channels() % groups == 0 && out <= kMaxChannels,
                "groups do not fit");
  rules.bias(out);
  applied(op);
  return {static_cast<int>(out), out_side(rules, in.height(), rules.weight_side(2), "y"),
          out_side(rules, in.width(), rules.weight_side(3), "x")};
}

// The taps of the first and of the last output column reach so far over the plane.
Reading reading(const ProgramSpec& program, const OpSpec& op) {
  const Window w = window_of(op);
  const int64_t reach = int64_t{w.width - 1} * w.dilation_x;
  const int in = program.values[op.inputs[0]].width(), out = program.values[op.output].width();
  const int64_t left = (reach - w.pad_x + w.stride_x - 1) / w.stride_x;
  const int64_t right = (int64_t{out} - 1 + w.pad_x) / w.stride_x - (in - 1);
  return {static_cast<int>(std::max<int64_t>({left, right, 0})), 0, false};
}

// An output block reads the channels of the groups that it touches, with weights [in][tap][16], zero for those of
// another group: packed once where all outputs are computed, else of those that are open, each time.
class TransposedConvolution final : public Operator {
 public:
  TransposedConvolution(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        gated_(plan.is_gated(out_)),
        window_(window_of(op)),
        activation_(applied(op)),
        channels_(plan.value(in_).channels()),
        in_per_group_(channels_ / integer(op, "groups")),
        out_per_group_(static_cast<int>(op.weight.shape[1])),
        taps_(static_cast<size_t>(window_.height) * window_.width) {
    const int out = plan.value(out_).channels();
    for (int c = 0; c < out; ++c) bias_.push_back(op.bias.data == nullptr ? 0.0f : op.bias.data[c]);
    const size_t floats = static_cast<size_t>(channels_) * out_per_group_ * taps_;
    weights_.assign(op.weight.data, op.weight.data + floats);
    if (gated_) return;
    pack_all(out);
    weights_ = {};
  }

  size_t scratch_floats() const override { return gated_ ? channels_ * taps_ * kLanes : 0; }

  void run(RunState& state) const override {
    const OpenList open = state.open(out_);
    const View& out = state.views[out_];
    const Shares shares(state.pool.threads(), out.height, blocks_of(open.count), 1, static_cast<int>(taps_));
    count(state);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      const Span units = shares.units_of(chunk), rows = shares.rows_of(chunk);
      for (int block = units.begin; block < units.end; ++block) {
        const std::array<int, kLanes> outputs = lanes_of(open, block);
        const float* packed = gated_ ? state.scratch(thread) : &packed_[starts_[block]];
        if (gated_) pack(outputs, state.scratch(thread));
        multiply(state, outputs, packed, block, rows);
      }
    });
    apply_curve(state, activation_, out, blocks_of(open.count));
  }

 private:
  // Channels that these outputs, in ascending order, read.
  Span reads(const std::array<int, kLanes>& outputs) const {
    return {outputs.front() / out_per_group_ * in_per_group_, (outputs.back() / out_per_group_ + 1) * in_per_group_};
  }

  void pack_all(int out) {
    std::vector<int32_t> all(out);
    std::iota(all.begin(), all.end(), 0);
    size_t floats = 0;
    std::vector<std::array<int, kLanes>> blocks;
    for (int block = 0; block < blocks_of(out); ++block) {
      blocks.push_back(lanes_of({all.data(), out, nullptr}, block));
      starts_.push_back(floats);
      floats += (reads(blocks.back()).end - reads(blocks.back()).begin) * taps_ * kLanes;
    }
    packed_ = make_floats(floats);
    for (size_t block = 0; block < blocks.size(); ++block) pack(blocks[block], &packed_[starts_[block]]);
  }

  // Lanes past the last output repeat it, and become zero.
  void pack(const std::array<int, kLanes>& outputs, float* to) const {
    const Span channels = reads(outputs);
    std::fill_n(to, (channels.end - channels.begin) * taps_ * kLanes, 0.0f);
    for (int lane = 0; lane < kLanes && (lane == 0 || outputs[lane] != outputs[lane - 1]); ++lane) {
      const int group = outputs[lane] / out_per_group_, n = outputs[lane] % out_per_group_;
      for (int c = group * in_per_group_; c < (group + 1) * in_per_group_; ++c)
        for (size_t t = 0; t < taps_; ++t)
          to[((c - channels.begin) * taps_ + t) * kLanes + lane] =
              weights_[(static_cast<size_t>(c) * out_per_group_ + n) * taps_ + t];
    }
  }

  void multiply(RunState& state, const std::array<int, kLanes>& outputs, const float* packed, int block,
                Span rows) const {
    const OpenList open = state.open(in_);
    const Span channels = reads(outputs);
    const Range range = entries_between(open, channels.begin, channels.end);
    alignas(64) float bias[kLanes] = {};
    for (int lane = 0; lane < kLanes && (lane == 0 || outputs[lane] != outputs[lane - 1]); ++lane)
      bias[lane] = bias_[outputs[lane]];
    TransposedConv c = {state.views[in_], state.views[out_], window_, packed, taps_ * kLanes};
    c.out.data += block * c.out.block;
    c.bias = bias;
    c.rows = open.channels;
    c.first_row = channels.begin;
    c.in_begin = range.begin;
    c.in_count = range.count;
    c.block_end = 1;
    c.row_begin = rows.begin;
    c.row_end = rows.end;
    c.clamp = activation_.clamp;
    state.kernels.transposed_conv(c);
  }

  // Each pixel of the input goes to a whole window.
  void count(RunState& state) const {
    const OpenList in = state.open(in_), out = state.open(out_);
    const int64_t pixels = int64_t{state.views[in_].height} * state.views[in_].width;
    state.macs += pairs_of(in, out, in_per_group_, out_per_group_) * static_cast<int64_t>(taps_) * pixels;
  }

  int in_, out_;
  bool gated_;
  Window window_;
  Applied activation_;
  int channels_, in_per_group_, out_per_group_;
  size_t taps_;
  std::vector<float> bias_, weights_;
  std::vector<size_t> starts_;  // of each block in packed_
  Floats packed_;
};

OperatorPtr make(const Making& making) { return std::make_unique<TransposedConvolution>(making.plan, making.op); }

}  // namespace

extern const OpRoom transposed_conv_room;
const OpRoom transposed_conv_room = {"transposed_conv", check, make, reading};

}  // namespace sluice
