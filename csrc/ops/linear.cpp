// Matrix times vector. If a row is long, the closed inputs of a gated vector are filled in as zeros, because a head is
// too small to gain from a list of open inputs. Closed outputs are skipped.
#include <algorithm>

#include "activations.h"
#include "matrix.h"
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

constexpr int kNarrow = 64;         // columns
constexpr int kShared = 64 * 1024;  // multiply-adds, from which on it pays to hand them out

// A classifier's weights would fill the cache that the convolution before it needs.
void add_pages(const Floats& weights, size_t floats, std::vector<const float*>& wanted) {
  constexpr size_t kMostFetched = 32 * 1024;
  if (floats > kMostFetched) return;
  for (size_t at = 0; at < floats; at += kPageLines * kLanes) wanted.push_back(&weights[at]);
}

// Each row of weights by itself, its lanes summed at the end.
class Linear final : public Operator {
 public:
  Linear(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        gated_(plan.is_gated(in_)),
        gated_out_(plan.is_gated(out_)),
        matrix_(op),
        activation_(applied(op)) {}

  size_t scratch_floats() const override { return matrix_.padded(); }
  void link_pages(std::vector<const float*>& wanted) override {
    add_pages(matrix_.weights, matrix_.rows * matrix_.padded(), wanted);
  }

  void run(RunState& state) const override {
    const OpenList open = state.open(in_), open_out = state.open(out_);
    const int rows = open_out.count, columns = matrix_.columns;
    state.macs += int64_t{open.count} * rows;
    const float* x = state.views[in_].data;
    if (gated_ || columns % kLanes != 0) x = spread(open, x, state.scratch(0));
    const int chunks = int64_t{rows} * columns > kShared ? state.pool.threads() * 2 : 1;
    float* y = state.views[out_].data;
    state.pool.run(chunks, [&](int chunk, int) {
      const Span share = share_of(rows, chunk, chunks);
      DotRows dot = {x, matrix_.weights.get(), matrix_.bias.get(), y};
      dot.in_blocks = blocks_of(columns);
      dot.begin = share.begin;
      dot.end = share.end;
      dot.clamp = activation_.clamp;
      if (gated_out_) dot.list = open_out.channels;
      state.kernels.dot_rows(dot);
    });
    std::fill(y + rows, y + blocks_of(rows) * kLanes, 0.0f);
    apply_curve(state, activation_, state.views[out_], blocks_of(rows));
  }

 private:
  // The stored inputs at their places, zeros elsewhere, past the end too: there a lane may hold anything.
  const float* spread(const OpenList& open, const float* x, float* scratch) const {
    std::fill_n(scratch, matrix_.padded(), 0.0f);
    for (int i = 0; i < open.count; ++i) scratch[open.channels[i]] = x[i];
    return scratch;
  }

  int in_, out_;
  bool gated_, gated_out_;
  Matrix matrix_;
  Applied activation_;
};

// For few columns, such as a gate's logits from its hidden neurons: the outer product of a single pixel, so that no
// lanes have to be summed.
class NarrowLinear final : public Operator {
 public:
  explicit NarrowLinear(const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        rows_(static_cast<int>(op.weight.shape[0])),
        columns_(static_cast<int>(op.weight.shape[1])),
        bias_(padded_bias(op, rows_)),
        activation_(applied(op)) {
    weights_ = make_floats(blocks_of(rows_) * block_step());
    for (int row = 0; row < rows_; ++row)
      for (int c = 0; c < columns_; ++c)
        weights_[row / kLanes * block_step() + c * kLanes + row % kLanes] =
            op.weight.data[static_cast<size_t>(row) * columns_ + c];
  }

  void link_pages(std::vector<const float*>& wanted) override {
    add_pages(weights_, blocks_of(rows_) * block_step(), wanted);
  }

  void run(RunState& state) const override {
    const OpenList open = state.open(in_);
    const int blocks = blocks_of(rows_);
    state.macs += int64_t{open.count} * rows_;
    OuterConv product = {};
    product.in = state.views[in_];
    product.out = state.views[out_];
    product.weights = weights_.get();
    product.row_step = kLanes;
    product.block_step = block_step();
    product.bias = bias_.get();
    product.rows = open.channels;
    product.in_count = open.count;
    product.blocks = state.open(out_).blocks;
    product.block_end = blocks;
    product.row_end = 1;
    product.clamp = activation_.clamp;
    state.kernels.outer_conv(product);
    apply_curve(state, activation_, state.views[out_], blocks);
  }

 private:
  size_t block_step() const { return static_cast<size_t>(columns_) * kLanes; }

  int in_, out_, rows_, columns_;
  Floats bias_, weights_;  // weights [block][column][16]
  Applied activation_;
};

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.weight(2);
  rules.out();
  applied(rules.op);
  rules.require(rules.weight_side(1) == rules.vector().channels(), "weight does not fit its input");
  rules.bias(rules.weight_side(0));
  return {static_cast<int>(rules.weight_side(0))};
}

OperatorPtr make(const Making& making) {
  if (making.op.weight.shape[1] <= kNarrow && !making.plan.is_gated(making.op.output))
    return std::make_unique<NarrowLinear>(making.op);
  return std::make_unique<Linear>(making.plan, making.op);
}

}  // namespace

extern const OpRoom linear_room;
const OpRoom linear_room = {"linear", check, make};

}  // namespace sluice
