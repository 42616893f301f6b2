// The direct algorithms over the two kernels, outer and inner product. No weight is copied when a pattern changes,
// but for those that conv_packed.cpp packs.
#include <algorithm>

#include "algorithms.h"

namespace sluice {
namespace {

// [in][block][tap][16]: one step of the list reaches all output blocks.
class Outer final : public ConvAlgorithm, public RowWiseConv {
 public:
  explicit Outer(const OpSpec& op)
      : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
    const ConvWeights w(op);
    block_step_ = static_cast<size_t>(w.taps) * kLanes;
    row_step_ = blocks_of(w.out) * block_step_;
    if (w.taps == 1) {
      row_step_ = kLanes;
      block_step_ = w.in() * row_step_;
    }
    floats_ = static_cast<size_t>(w.in()) * blocks_of(w.out) * w.taps * kLanes;
    weights_ = make_floats(floats_);
    for (int c = 0; c < w.in(); ++c)  // in the order of memory
      for (int n = 0; n < w.out; ++n)
        for (int t = 0; t < w.taps; ++t)
          weights_[c * row_step_ + n / kLanes * block_step_ + size_t{kLanes} * t + n % kLanes] =
              w.row(n)[c * w.taps + t];
  }

  void run(RunState& state, const ConvCall& call) const override {
    const Shares shares(state.pool.threads(), call.out.height, blocks_of(call.open_out.count), kTileBlocks,
                        window_.height * window_.width);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      multiply(state, call, shares.units_of(chunk), shares.rows_of(chunk), thread == 0 ? call.meanwhile : Prefetch{});
    });
  }

  // Each strip walks all weights.
  const RowWiseConv* row_wise() const override {
    return window_.height * window_.width == 1 && floats_ <= kFewFloats ? this : nullptr;
  }
  void run_rows(RunState& state, const ConvCall& call, Span rows, int) const override {
    multiply(state, call, {0, blocks_of(call.open_out.count)}, rows, {});
  }

 private:
  static constexpr size_t kFewFloats = 32 * 1024;

  void multiply(RunState& state, const ConvCall& call, Span blocks, Span rows, const Prefetch& next) const {
    OuterConv c = {};
    c.in = call.in;
    c.out = call.out;
    c.residual = call.residual;
    c.window = window_;
    c.weights = weights_.get();
    c.row_step = row_step_;
    c.block_step = block_step_;
    c.bias = bias_.get();
    c.rows = call.open_in.channels;
    c.in_count = call.open_in.count;
    c.blocks = call.open_out.blocks;
    c.block_begin = blocks.begin;
    c.block_end = blocks.end;
    c.row_begin = rows.begin;
    c.row_end = rows.end;
    c.clamp = call.clamp;
    c.next = next;
    c.large_l1 = state.large_l1;
    state.kernels.outer_conv(c);
  }

  Window window_;
  Floats bias_, weights_;
  size_t floats_, row_step_, block_step_;
};

// Groups: an output block reads the channels of the groups that it touches, its weights zero elsewhere.
class Grouped final : public ConvAlgorithm {
 public:
  explicit Grouped(const OpSpec& op)
      : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
    const ConvWeights w(op);
    step_ = static_cast<size_t>(w.taps) * kLanes;
    size_t total = 0;
    for (int first = 0; first < w.out; first += kLanes) {
      const int last = std::min(first + kLanes, w.out) - 1;
      blocks_.push_back({w.first_in(first), w.first_in(last) + w.per_group, total});
      total += (blocks_.back().high - blocks_.back().low) * step_;
    }
    weights_ = make_floats(total);
    for (int n = 0; n < w.out; ++n) {
      const Block& block = blocks_[n / kLanes];
      for (int c = 0; c < w.per_group; ++c)
        for (int t = 0; t < w.taps; ++t)
          weights_[block.weights + (w.first_in(n) - block.low + c) * step_ + size_t{kLanes} * t + n % kLanes] =
              w.row(n)[c * w.taps + t];
    }
  }

  void run(RunState& state, const ConvCall& call) const override {
    static constexpr int32_t kFirst[1] = {0};
    state.pool.run(static_cast<int>(blocks_.size()), [&](int b, int) {
      const Block& block = blocks_[b];
      const Range range = entries_between(call.open_in, block.low, block.high);
      OuterConv c = {};
      c.in = call.in;
      c.out = call.out;
      c.out.data += b * c.out.block;
      c.residual = call.residual == nullptr ? nullptr : call.residual + b * c.out.block;
      c.window = window_;
      c.weights = weights_.get() + block.weights;
      c.row_step = step_;
      c.bias = bias_.get() + b * kLanes;
      c.rows = call.open_in.channels;
      c.first_row = block.low;
      c.in_begin = range.begin;
      c.in_count = range.count;
      c.blocks = kFirst;
      c.block_end = 1;
      c.row_end = c.out.height;
      c.clamp = call.clamp;
      state.kernels.outer_conv(c);
    });
  }

 private:
  struct Block {
    int low, high;  // input channels
    size_t weights;
  };
  Window window_;
  Floats bias_, weights_;
  std::vector<Block> blocks_;
  size_t step_;
};

// [out][in block][tap][16]: one row per output channel, found by pointer.
class Inner final : public ConvAlgorithm, public RowWiseConv {
 public:
  explicit Inner(const OpSpec& op)
      : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
    const ConvWeights w(op);
    in_blocks_ = blocks_of(w.in());
    const size_t step = static_cast<size_t>(in_blocks_) * w.taps * kLanes;
    weights_ = make_floats(w.out * step);
    for (int n = 0; n < w.out; ++n)
      for (int c = 0; c < w.in(); ++c)
        for (int t = 0; t < w.taps; ++t)
          weights_[n * step + (size_t{kLanes} * (c / kLanes * w.taps + t)) + c % kLanes] = w.row(n)[c * w.taps + t];
  }

  void run(RunState& state, const ConvCall& call) const override {
    const Shares shares(state.pool.threads(), call.out.height, call.open_out.count, kTileBlocks,
                        window_.height * window_.width);
    state.pool.run(shares.chunks,
                   [&](int chunk, int) { multiply(state, call, shares.units_of(chunk), shares.rows_of(chunk)); });
  }

  const RowWiseConv* row_wise() const override { return this; }
  void run_rows(RunState& state, const ConvCall& call, Span rows, int) const override {
    multiply(state, call, {0, call.open_out.count}, rows);
  }

 private:
  void multiply(RunState& state, const ConvCall& call, Span entries, Span rows) const {
    InnerConv c = {};
    c.in = call.in;
    c.out = call.out;
    c.window = window_;
    c.weights = weights_.get();
    c.bias = bias_.get();
    c.list = call.open_out.channels;
    c.in_blocks = in_blocks_;
    c.begin = entries.begin;
    c.end = entries.end;
    c.row_begin = rows.begin;
    c.row_end = rows.end;
    c.clamp = call.clamp;
    c.large_l1 = state.large_l1;
    state.kernels.inner_conv(c);
  }

  Window window_;
  Floats bias_, weights_;
  int in_blocks_;
};

}  // namespace

ConvAlgorithmPtr make_outer(const OpSpec& op) { return std::make_unique<Outer>(op); }
ConvAlgorithmPtr make_grouped(const OpSpec& op) { return std::make_unique<Grouped>(op); }
ConvAlgorithmPtr make_inner(const OpSpec& op) { return std::make_unique<Inner>(op); }

}  // namespace sluice
