// Matrix times vector, and the LSTM cell around one. Where a row is long, the closed inputs of a gated vector are
// filled in as zeros: a head is too small to gain from a list.
#include <algorithm>
#include <cmath>

#include "conv.h"

namespace sluice {
namespace {

constexpr int kNarrow = 64;      // columns
constexpr int kShared = 64 * 1024;  // multiply-adds, from which on it pays to hand them out

// A classifier's weights would fill the cache that the convolution before it needs.
void add_pages(const Floats& weights, size_t floats, std::vector<const float*>& wanted) {
  constexpr size_t kMostFetched = 32 * 1024;
  if (floats > kMostFetched) return;
  for (size_t at = 0; at < floats; at += kPageLines * kLanes) wanted.push_back(&weights[at]);
}

// Rows padded to whole blocks of lanes, and a bias.
struct Matrix {
  explicit Matrix(const OpSpec& op)
      : rows(static_cast<int>(op.weight.shape[0])), columns(static_cast<int>(op.weight.shape[1])) {
    const size_t pitch = padded();
    weights = make_floats(rows * pitch);
    for (int row = 0; row < rows; ++row)
      std::copy_n(op.weight.data + static_cast<size_t>(row) * columns, columns, weights.get() + row * pitch);
    bias = make_floats(rows);
    if (op.bias.data != nullptr) std::copy_n(op.bias.data, rows, bias.get());
  }

  size_t padded() const { return static_cast<size_t>(blocks_of(columns)) * kLanes; }

  int rows, columns;
  Floats weights, bias;
};

// Each row of weights by itself, its lanes summed at the end.
class Linear final : public Operator {
 public:
  Linear(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        gated_(plan.value(in_).gate != -1),
        matrix_(op),
        activation_(applied(static_cast<Activation>(attribute(op, "activation")))) {}

  size_t scratch_floats() const override { return matrix_.padded(); }
  void link_pages(std::vector<const float*>& wanted) override {
    add_pages(matrix_.weights, matrix_.rows * matrix_.padded(), wanted);
  }

  void run(Run& run) const override {
    const OpenList open = run.open(in_);
    const int rows = matrix_.rows, columns = matrix_.columns;
    run.macs += int64_t{open.count} * rows;
    const float* x = run.views[in_].data;
    if (gated_ || columns % kLanes != 0) x = spread(open, x, run.scratch(0));
    const int chunks = int64_t{rows} * columns > kShared ? run.pool.threads() * 2 : 1;
    float* y = run.views[out_].data;
    run.pool.run(chunks, [&](int chunk, int) {
      const Span share = share_of(rows, chunk, chunks);
      run.kernels.dot_rows({x, matrix_.weights.get(), matrix_.bias.get(), y, blocks_of(columns), share.begin,
                            share.end, activation_.clamp});
    });
    std::fill(y + rows, y + blocks_of(rows) * kLanes, 0.0f);
    apply_curve(run, activation_, run.views[out_], blocks_of(rows));
  }

 private:
  // The stored inputs at their places, zeros elsewhere, past the end too: there a lane may hold anything.
  const float* spread(const OpenList& open, const float* x, float* scratch) const {
    std::fill_n(scratch, matrix_.padded(), 0.0f);
    for (int i = 0; i < open.count; ++i) scratch[open.channels[i]] = x[i];
    return scratch;
  }

  int in_, out_;
  bool gated_;
  Matrix matrix_;
  Applied activation_;
};

// Of few columns, as a gate's logits are of its hidden neurons: the outer product of a single pixel, so that there
// are no lanes to sum.
class NarrowLinear final : public Operator {
 public:
  explicit NarrowLinear(const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        rows_(static_cast<int>(op.weight.shape[0])),
        columns_(static_cast<int>(op.weight.shape[1])),
        bias_(padded_bias(op)),
        activation_(applied(static_cast<Activation>(attribute(op, "activation")))) {
    weights_ = make_floats(blocks_of(rows_) * block_step());
    for (int row = 0; row < rows_; ++row)
      for (int c = 0; c < columns_; ++c)
        weights_[row / kLanes * block_step() + c * kLanes + row % kLanes] =
            op.weight.data[static_cast<size_t>(row) * columns_ + c];
  }

  void link_pages(std::vector<const float*>& wanted) override {
    add_pages(weights_, blocks_of(rows_) * block_step(), wanted);
  }

  void run(Run& run) const override {
    const OpenList open = run.open(in_);
    const int blocks = blocks_of(rows_);
    run.macs += int64_t{open.count} * rows_;
    run.kernels.outer_conv({run.views[in_], run.views[out_], nullptr, kPoint, weights_.get(), kLanes, block_step(),
                            bias_.get(), open.channels, 0, 0, open.count, run.open(out_).blocks, 0, blocks, 0, 1,
                            activation_.clamp});
    apply_curve(run, activation_, run.views[out_], blocks);
  }

 private:
  static constexpr Window kPoint = {1, 1, 1, 1, 0, 0, 1, 1};

  size_t block_step() const { return static_cast<size_t>(columns_) * kLanes; }

  int in_, out_, rows_, columns_;
  Floats bias_, weights_;  // weights [block][column][16]
  Applied activation_;
};

// One step of an LSTM whose state is one vector [h; c]; without one h = c = 0. The order of its four gates is
// torch's: input, forget, cell, output.
class Lstm final : public Operator {
 public:
  Lstm(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        state_(op.inputs.size() == 2 ? op.inputs[1] : -1),
        out_(op.output),
        features_(plan.value(in_).channels()),
        matrix_(op) {}

  size_t scratch_floats() const override { return matrix_.padded() + matrix_.rows; }

  void run(Run& run) const override {
    const int hidden = matrix_.rows / 4;
    const float* state = state_ == -1 ? nullptr : run.views[state_].data;
    float *x = run.scratch(0), *z = x + matrix_.padded(), *out = run.views[out_].data;
    std::fill_n(x, matrix_.padded(), 0.0f);
    std::copy_n(run.views[in_].data, features_, x);
    if (state != nullptr) std::copy_n(state, hidden, x + features_);
    run.macs += int64_t{matrix_.rows} * matrix_.columns;
    run.kernels.dot_rows({x, matrix_.weights.get(), matrix_.bias.get(), z, blocks_of(matrix_.columns), 0,
                          matrix_.rows, applied(Activation::none).clamp});
    for (int k = 0; k < hidden; ++k) {
      const float kept = state == nullptr ? 0.0f : sigmoid(z[hidden + k]) * state[hidden + k];
      const float cell = kept + sigmoid(z[k]) * std::tanh(z[2 * hidden + k]);
      out[k] = sigmoid(z[3 * hidden + k]) * std::tanh(cell);
      out[hidden + k] = cell;
    }
    std::fill(out + 2 * hidden, out + blocks_of(2 * hidden) * kLanes, 0.0f);
  }

 private:
  static float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

  int in_, state_, out_, features_;
  Matrix matrix_;
};

}  // namespace

OperatorPtr make_linear(const Plan& plan, const OpSpec& op) {
  if (op.weight.shape[1] <= kNarrow) return std::make_unique<NarrowLinear>(op);
  return std::make_unique<Linear>(plan, op);
}
OperatorPtr make_lstm(const Plan& plan, const OpSpec& op) { return std::make_unique<Lstm>(plan, op); }

}  // namespace sluice
