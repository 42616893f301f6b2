// Pooling over windows and over whole planes. Blocks are pooled as they are stored, so closed channels cost
// nothing.
#include <algorithm>
#include <cmath>

#include "conv.h"

namespace sluice {
namespace {

constexpr int kFewPixels = 2048;  // of 64 bytes

class WindowPool final : public Operator, public RowWise {
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
      const Span blocks = shares.units_of(chunk), rows = shares.rows_of(chunk);
      run.kernels.pool({run.views[in_], out, window_, maximum_, count_padding_, blocks.begin, blocks.end, rows.begin,
                        rows.end});
    });
  }

  const RowWise* row_wise() const override { return this; }
  void run_rows(Run& run, const View& in, const View& out, Span rows, int) const override {
    const int blocks = blocks_of(run.open(in_).count);
    run.kernels.pool({in, out, window_, maximum_, count_padding_, 0, blocks, rows.begin, rows.end});
  }
  void count(Run&) const override {}
  Window window() const override { return window_; }

 private:
  int in_, out_;
  bool maximum_, count_padding_;
  Window window_;
};

// A plane of many rows is cut by rows, as the convolutions before and behind it are: a line that the other thread had
// read as well would take that thread's word to be written again. Cuts and sums are the same for any number of
// threads.
class PlanePool final : public Operator {
 public:
  PlanePool(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        counted_(attribute(op, "counted") != 0),
        absolute_(attribute(op, "absolute") != 0),
        strips_(plan.value(in_).height() >= kLargePlane ? plan.value(in_).height() / kStripRows : 1),
        sums_(strips_ == 1 ? 0 : static_cast<size_t>(strips_) * blocks_of(plan.value(in_).channels()) * kLanes) {}

  size_t scratch_floats() const override { return sums_; }

  void run(Run& run) const override {
    const int channels = run.open(in_).count, blocks = blocks_of(channels);
    const View& in = run.views[in_];
    float* out = run.views[out_].data;
    // To wake a thread for less than some microseconds of reading would cost more than it saves.
    const int threads = blocks * in.height * in.width < kFewPixels ? 1 : run.pool.threads();
    if (strips_ > 1) {
      const int chunks = threads == 1 ? 1 : strips_;
      run.pool.run(chunks, [&](int chunk, int) {
        const Span share = share_of(strips_, chunk, chunks);
        for (int strip = share.begin; strip < share.end; ++strip)
          mean(run, {rows_of(in, strip), run.scratch(0) + strip * blocks * kLanes, 0, blocks});
      });
      add_up(run, in, blocks * kLanes, out);
    } else {
      const int chunks = std::min(blocks, threads);
      run.pool.run(chunks, [&](int chunk, int) {
        const Span share = share_of(blocks, chunk, chunks);
        mean(run, {in, out, share.begin, share.end});
      });
    }
    if (counted_) run.macs += int64_t{channels} * in.height * in.width;
  }

 private:
  static constexpr int kStripRows = kLargePlane / 2;

  View rows_of(const View& in, int strip) const {
    const Span rows = share_of(in.height, strip, strips_);
    return {in.data + rows.begin * in.row, rows.end - rows.begin, in.width, in.row, in.block};
  }

  // The mean of the strips' means.
  void add_up(Run& run, const View& in, int floats, float* out) const {
    std::fill_n(out, floats, 0.0f);
    const float* means = run.scratch(0);
    for (int strip = 0; strip < strips_; ++strip, means += floats) {
      const float share = static_cast<float>(rows_of(in, strip).height) / static_cast<float>(in.height);
      for (int i = 0; i < floats; ++i) out[i] += share * means[i];
    }
  }

  void mean(Run& run, const GlobalPool& p) const {
    if (!absolute_) return run.kernels.global_pool(p);
    for (int block = p.block_begin; block < p.block_end; ++block) mean_size(p.in, block, p.out);
  }

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
  int strips_;
  size_t sums_;
};

}  // namespace

OperatorPtr make_pool(const Plan&, const OpSpec& op) { return std::make_unique<WindowPool>(op); }
OperatorPtr make_global_pool(const Plan& plan, const OpSpec& op) { return std::make_unique<PlanePool>(plan, op); }

}  // namespace sluice
