// The first layer, and convolutions of each channel by itself.
#include <algorithm>

#include "algorithms.h"

namespace sluice {
namespace {

// Reads the image as it was given, pixels made contiguous [y][x][channel] with their padding: 16 lanes for 3
// channels would be five times the traffic. Rows of output go by in strips, whose pixels stay in L1.
class Stem final : public ConvAlgorithm, public RowWiseConv {
 public:
  Stem(const Plan& plan, const OpSpec& op)
      : window_(window_of(op)), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
    const ConvWeights w(op);
    const ValueSpec& image = plan.value(op.inputs[0]);
    channels_ = w.in();
    height_ = image.height();
    width_ = image.width();
    row_ = static_cast<size_t>(width_ + 2 * window_.pad_x + window_.extra_x) * channels_;
    strip_rows_ = std::min(kStripRows, plan.value(op.output).height());
    const size_t block_step = static_cast<size_t>(w.taps) * channels_ * kLanes;
    weights_ = make_floats(blocks_of(w.out) * block_step);
    for (int n = 0; n < w.out; ++n)
      for (int c = 0; c < channels_; ++c)
        for (int t = 0; t < w.taps; ++t)
          weights_[n / kLanes * block_step + size_t{kLanes} * (t * channels_ + c) + n % kLanes] =
              w.row(n)[c * w.taps + t];
  }

  size_t scratch_floats() const override { return image_rows(strip_rows_) * row_; }

  void run(RunState& state, const ConvCall& call) const override {
    const Shares shares(state.pool.threads(), call.out.height, blocks_of(call.open_out.count), 3,
                        window_.height * window_.width);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      run_blocks(state, call, shares.rows_of(chunk), shares.units_of(chunk), thread);
    });
  }

  const RowWiseConv* row_wise() const override { return this; }
  void run_rows(RunState& state, const ConvCall& call, Span rows, int thread) const override {
    run_blocks(state, call, rows, {0, blocks_of(call.open_out.count)}, thread);
  }

 private:
  static constexpr int kStripRows = 8;

  // Of the padded image, that so many rows of output read.
  int image_rows(int rows) const { return (rows - 1) * window_.stride_y + window_.height; }

  void run_blocks(RunState& state, const ConvCall& call, Span rows, Span blocks, int thread) const {
    for (int y = rows.begin; y < rows.end; y += strip_rows_)
      run_strip(state, call, {y, std::min(y + strip_rows_, rows.end)}, blocks, thread);
  }

  void run_strip(RunState& state, const ConvCall& call, Span rows, Span blocks, int thread) const {
    float* image = state.scratch(thread);
    const int first = rows.begin * window_.stride_y - window_.pad_y, count = rows.end - rows.begin;
    for (int y = 0; y < image_rows(count); ++y) interleave(state.image, first + y, image + y * row_);
    StemConv c = {};
    c.image = image;
    c.image_row = row_;
    c.taps_y = window_.height;
    c.taps_x = window_.width * channels_;
    c.step_y = window_.stride_y;
    c.step_x = window_.stride_x * channels_;
    c.out = call.out;
    c.out.data += rows.begin * c.out.row;
    c.weights = weights_.get();
    c.bias = bias_.get();
    c.block_begin = blocks.begin;
    c.block_end = blocks.end;
    c.row_end = count;
    c.clamp = call.clamp;
    state.kernels.stem_conv(c);
  }

  void interleave(const float* image, int y, float* out) const {
    if (y < 0 || y >= height_) {
      std::fill_n(out, row_, 0.0f);
      return;
    }
    const size_t plane = static_cast<size_t>(height_) * width_, pad = static_cast<size_t>(window_.pad_x) * channels_;
    const float* in = image + static_cast<size_t>(y) * width_;
    std::fill_n(out, pad, 0.0f);
    float* to = out + pad;
    if (channels_ == 3)  // by far the most images
      for (int x = 0; x < width_; ++x, to += 3) to[0] = in[x], to[1] = in[plane + x], to[2] = in[2 * plane + x];
    else
      for (int x = 0; x < width_; ++x)
        for (int c = 0; c < channels_; ++c) *to++ = in[c * plane + x];
    std::fill(to, out + row_, 0.0f);
  }

  Window window_;
  Floats bias_, weights_;
  int channels_, height_, width_, strip_rows_;
  size_t row_;
};

// Weights [block][tap][16] in the order of the stored channels: those of a gated value are gathered by lane,
// which is little beside the planes that they are applied to.
class Depthwise final : public ConvAlgorithm, public RowWiseConv {
 public:
  Depthwise(const Plan& plan, const OpSpec& op)
      : window_(window_of(op)),
        bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))),
        gated_(plan.is_gated(op.output)) {
    const ConvWeights w(op);
    taps_ = w.taps;
    channels_ = w.out;
    rows_ = make_floats(static_cast<size_t>(channels_) * taps_ + kLanes);
    std::copy_n(w.data, static_cast<size_t>(channels_) * taps_, rows_.get());
    weights_ = make_floats(blocks_of(channels_) * step());
    for (int c = 0; c < channels_; ++c)
      for (int t = 0; t < taps_; ++t) weights_[c / kLanes * step() + size_t{kLanes} * t + c % kLanes] = w.row(c)[t];
  }

  size_t scratch_floats() const override {
    return gated_ ? blocks_of(channels_) * (step() + kLanes) + kLanes * kLanes : 0;
  }

  void run(RunState& state, const ConvCall& call) const override {
    const int blocks = blocks_of(call.open_out.count);
    const Shares shares(state.pool.threads(), call.out.height, blocks, 1, taps_);
    if (gated_ && shares.by_rows) gather(state, call, {0, blocks}, 0);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      const float *weights = weights_.get(), *bias = bias_.get();
      const Span units = shares.units_of(chunk), rows = shares.rows_of(chunk);
      if (gated_) {
        if (!shares.by_rows) gather(state, call, units, thread);
        weights = state.scratch(shares.by_rows ? 0 : thread);
        bias = weights + bias_at();
      }
      multiply(state, call, weights, bias, units, rows);
    });
  }

  const RowWiseConv* row_wise() const override { return gated_ ? nullptr : this; }
  void run_rows(RunState& state, const ConvCall& call, Span rows, int) const override {
    multiply(state, call, weights_.get(), bias_.get(), {0, blocks_of(call.open_out.count)}, rows);
  }

 private:
  void multiply(RunState& state, const ConvCall& call, const float* weights, const float* bias, Span blocks,
                Span rows) const {
    DepthwiseConv c = {};
    c.in = call.in;
    c.out = call.out;
    c.window = window_;
    c.weights = weights;
    c.bias = bias;
    c.block_begin = blocks.begin;
    c.block_end = blocks.end;
    c.row_begin = rows.begin;
    c.row_end = rows.end;
    c.clamp = call.clamp;
    state.kernels.depthwise_conv(c);
  }

  size_t step() const { return static_cast<size_t>(taps_) * kLanes; }
  // Behind the weights there is room for what packing writes past their end.
  size_t bias_at() const { return blocks_of(channels_) * step() + kLanes * kLanes; }

  void gather(RunState& state, const ConvCall& call, Span blocks, int thread) const {
    float* weights = state.scratch(thread);
    for (int block = blocks.begin; block < blocks.end; ++block) {
      const auto channels = lanes_of(call.open_out, block);
      PackRows pack = {};
      for (int lane = 0; lane < kLanes; ++lane) {
        pack.rows[lane] = rows_.get() + static_cast<size_t>(channels[lane]) * taps_;
        pack.last[lane] = 1;
        weights[bias_at() + block * kLanes + lane] = bias_[channels[lane]];
      }
      pack.channels = call.in_order;
      pack.count = 1;
      pack.taps = taps_;
      pack.out = weights + block * step();
      state.kernels.pack_rows(pack);
    }
  }

  Window window_;
  Floats bias_, weights_, rows_;  // rows_ [channel][tap]
  bool gated_;
  int taps_, channels_;
};

}  // namespace

ConvAlgorithmPtr make_stem(const Plan& plan, const OpSpec& op) { return std::make_unique<Stem>(plan, op); }
ConvAlgorithmPtr make_depthwise(const Plan& plan, const OpSpec& op) { return std::make_unique<Depthwise>(plan, op); }

}  // namespace sluice
