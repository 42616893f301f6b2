// Pooling over windows and over whole planes. Blocks are pooled as they are stored, so closed channels cost
// nothing.
#include <algorithm>
#include <cmath>

#include "conv.h"

namespace sluice {
namespace {

constexpr int kFewPixels = 1024;  // of 64 bytes

class WindowPool final : public Operator {
 public:
  explicit WindowPool(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), maximum_(op.kind == OpKind::max_pool) {
    window_ = {attribute(op, "kernel_y"),
               attribute(op, "kernel_x"),
               attribute(op, "stride_y"),
               attribute(op, "stride_x"),
               attribute(op, "padding_y"),
               attribute(op, "padding_x"),
               1,
               1};
    count_padding_ = maximum_ || attribute(op, "count_padding") != 0;
  }

  void run(Run& run) const override {
    const View& out = run.views[out_];
    // Cut as the convolution before it was: a thread finds in its own cache what it wrote itself.
    const Shares shares(run.pool.threads(), out.height, blocks_of(run.open(in_).count), 1,
                        window_.height * window_.width);
    run.pool.run(shares.chunks, [&](int chunk, int) {
      run.kernels.pool({run.views[in_], out, window_, maximum_, count_padding_, shares.unit_begin(chunk),
                        shares.unit_end(chunk), shares.row_begin(chunk), shares.row_end(chunk)});
    });
  }

 private:
  int in_, out_;
  bool maximum_, count_padding_;
  Window window_;
};

class PlanePool final : public Operator {
 public:
  explicit PlanePool(const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        counted_(attribute(op, "counted") != 0),
        absolute_(attribute(op, "absolute") != 0) {}

  void run(Run& run) const override {
    const int channels = run.open(in_).count;
    const View& in = run.views[in_];
    float* out = run.views[out_].data;
    const int blocks = blocks_of(channels);
    // To wake a thread for less than some microseconds of reading would cost more than it saves.
    const int chunks = blocks * in.height * in.width < kFewPixels ? 1 : std::min(blocks, run.pool.threads());
    run.pool.run(chunks, [&](int chunk, int) {
      const int begin = blocks * chunk / chunks, end = blocks * (chunk + 1) / chunks;
      if (absolute_)
        for (int block = begin; block < end; ++block) mean_size(in, block, out);
      else
        run.kernels.global_pool({in, out, begin, end});
    });
    if (counted_) run.macs += int64_t{channels} * in.height * in.width;
  }

 private:
  static void mean_size(const View& in, int block, float* out) {
    float sums[kLanes] = {};
    for (int y = 0; y < in.height; ++y) {
      const float* row = in.data + block * in.block + y * in.row;
      for (int x = 0; x < in.width; ++x)
        for (int lane = 0; lane < kLanes; ++lane) sums[lane] += std::fabs(row[x * kLanes + lane]);
    }
    const float share = 1.0f / (static_cast<float>(in.height) * static_cast<float>(in.width));
    for (int lane = 0; lane < kLanes; ++lane) out[block * kLanes + lane] = sums[lane] * share;
  }

  int in_, out_;
  bool counted_, absolute_;
};

}  // namespace

OperatorPtr make_pool(const Plan&, const OpSpec& op) { return std::make_unique<WindowPool>(op); }
OperatorPtr make_global_pool(const Plan&, const OpSpec& op) { return std::make_unique<PlanePool>(op); }

}  // namespace sluice
