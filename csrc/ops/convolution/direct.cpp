// The direct algorithms over the two kernels, outer and inner product. No weight is copied when a pattern changes,
// but for those that conv_packed.cpp packs.
#include <algorithm>

#include "algorithms.h"

namespace sluice {
namespace {

// [in][block][tap][16]: one step of the list reaches all output blocks.
class Outer final : public ConvAlgorithm, public RowWiseConv {
 public:
  explicit Outer(const OpSpec& op) : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
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
          weights_[c * row_step_ + n / kLanes * block_step_ + size_t{kLanes} * t + n % kLanes] = w.row(n)[c * w.taps + t];
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
    state.kernels.outer_conv({call.in, call.out, call.residual, window_, weights_.get(), row_step_, block_step_,
                            bias_.get(), call.open_in.channels, 0, 0, call.open_in.count, call.open_out.blocks,
                            blocks.begin, blocks.end, rows.begin, rows.end, call.clamp, next, state.large_l1});
  }

  Window window_;
  Floats bias_, weights_;
  size_t floats_, row_step_, block_step_;
};

// Groups: an output block reads the channels of the groups that it touches, its weights zero elsewhere.
class Grouped final : public ConvAlgorithm {
 public:
  explicit Grouped(const OpSpec& op) : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
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
      View out = call.out;
      out.data += b * out.block;
      const float* residual = call.residual == nullptr ? nullptr : call.residual + b * out.block;
      state.kernels.outer_conv({call.in, out, residual, window_, weights_.get() + block.weights, step_, 0,
                              bias_.get() + b * kLanes, call.open_in.channels, block.low, range.begin, range.count,
                              kFirst, 0, 1, 0, out.height, call.clamp});
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
  explicit Inner(const OpSpec& op) : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
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
    state.pool.run(shares.chunks, [&](int chunk, int) {
      multiply(state, call, shares.units_of(chunk), shares.rows_of(chunk));
    });
  }

  const RowWiseConv* row_wise() const override { return this; }
  void run_rows(RunState& state, const ConvCall& call, Span rows, int) const override {
    multiply(state, call, {0, call.open_out.count}, rows);
  }

 private:
  void multiply(RunState& state, const ConvCall& call, Span entries, Span rows) const {
    state.kernels.inner_conv({call.in, call.out, window_, weights_.get(), bias_.get(), call.open_out.channels,
                            in_blocks_, entries.begin, entries.end, rows.begin, rows.end, call.clamp, state.large_l1});
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
