// Blocks are pooled as they are stored, so closed channels cost nothing.
#include "../window_pool.h"

#include "../shares.h"

namespace sluice {
namespace {

class WindowPool final : public Operator, public RowWise {
 public:
  WindowPool(const OpSpec& op, bool maximum) : in_(op.inputs[0]), out_(op.output), maximum_(maximum) {
    window_.height = integer(op, "kernel_y");
    window_.width = integer(op, "kernel_x");
    window_.stride_y = integer(op, "stride_y");
    window_.stride_x = integer(op, "stride_x");
    window_.pad_y = integer(op, "padding_y");
    window_.pad_x = integer(op, "padding_x");
    window_.dilation_y = maximum ? integer(op, "dilation_y") : 1;
    window_.dilation_x = maximum ? integer(op, "dilation_x") : 1;
    count_padding_ = maximum || integer(op, "count_padding") != 0;
  }

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    // Cut as the convolution before it was: a thread finds in its own cache what it wrote itself.
    const Shares shares(state.pool.threads(), out.height, blocks_of(state.open(in_).count), 1,
                        window_.height * window_.width);
    state.pool.run(shares.chunks, [&](int chunk, int) {
      pool(state, state.views[in_], out, shares.units_of(chunk), shares.rows_of(chunk));
    });
  }

  const RowWise* row_wise() const override { return this; }
  void run_rows(RunState& state, const View& in, const View& out, Span rows, int) const override {
    pool(state, in, out, {0, blocks_of(state.open(in_).count)}, rows);
  }
  void count(RunState&) const override {}
  Window window() const override { return window_; }

 private:
  void pool(RunState& state, const View& in, const View& out, Span blocks, Span rows) const {
    Pool p = {in, out, window_, maximum_, count_padding_};
    p.block_begin = blocks.begin;
    p.block_end = blocks.end;
    p.row_begin = rows.begin;
    p.row_end = rows.end;
    state.kernels.pool(p);
  }

  int in_, out_;
  bool maximum_, count_padding_;
  Window window_;
};

}  // namespace

Shape window_pool_shape(const Rules& rules, int dilation_y, int dilation_x) {
  rules.reads(1);
  rules.same_map();
  const ValueSpec& in = rules.plane();
  const bool ceil = rules.flag("ceil");
  const int kernel[2] = {rules.at_least(1, "kernel_y"), rules.at_least(1, "kernel_x")};
  const Shape shape = {in.channels(), rules.windows(in.height(), kernel[0], "y", dilation_y, 0, ceil),
                       rules.windows(in.width(), kernel[1], "x", dilation_x, 0, ceil)};
  const int reach[2] = {(kernel[0] - 1) * dilation_y + 1, (kernel[1] - 1) * dilation_x + 1};
  rules.require(2 * integer(rules.op, "padding_y") <= reach[0] && 2 * integer(rules.op, "padding_x") <= reach[1],
                "padding is more than half the kernel");
  return shape;
}

OperatorPtr make_window_pool(const OpSpec& op, bool maximum) { return std::make_unique<WindowPool>(op, maximum); }

}  // namespace sluice
