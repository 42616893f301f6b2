// Matrix times vector. The closed inputs of a gated vector are filled in as zeros: a head is too small to
// gain from a list.
#include <algorithm>

#include "operator.h"

namespace sluice {
namespace {

class Linear final : public Operator {
 public:
  Linear(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        gated_(plan.value(in_).gate != -1),
        rows_(static_cast<int>(op.weight.shape[0])),
        columns_(static_cast<int>(op.weight.shape[1])),
        activation_(applied(static_cast<Activation>(attribute(op, "activation")))) {
    const size_t pitch = static_cast<size_t>(blocks_of(columns_)) * kLanes;
    weights_ = make_floats(rows_ * pitch);
    for (int row = 0; row < rows_; ++row)
      std::copy_n(op.weight.data + static_cast<size_t>(row) * columns_, columns_, weights_.get() + row * pitch);
    bias_ = make_floats(rows_);
    if (op.bias.data != nullptr) std::copy_n(op.bias.data, rows_, bias_.get());
  }

  size_t scratch_floats() const override { return static_cast<size_t>(blocks_of(columns_)) * kLanes; }

  void run(Run& run) const override {
    const OpenList open = run.open(in_);
    run.macs += int64_t{open.count} * rows_;
    const float* x = run.views[in_].data;
    if (gated_ || columns_ % kLanes != 0) x = spread(open, x, run.scratch(0));
    // A chunk is worth handing out from some ten thousand multiply-adds on.
    const int chunks = int64_t{rows_} * columns_ > 65536 ? run.pool.threads() * 2 : 1;
    float* y = run.views[out_].data;
    run.pool.run(chunks, [&](int chunk, int) {
      run.kernels.dot_rows({x, weights_.get(), bias_.get(), y, blocks_of(columns_), rows_ * chunk / chunks,
                            rows_ * (chunk + 1) / chunks, activation_.clamp});
    });
    std::fill(y + rows_, y + blocks_of(rows_) * kLanes, 0.0f);
    apply_curve(run, activation_, run.views[out_], blocks_of(rows_));
  }

 private:
  // The stored inputs at their places, zeros elsewhere, past the end too: there a lane may hold anything.
  const float* spread(const OpenList& open, const float* x, float* scratch) const {
    std::fill_n(scratch, blocks_of(columns_) * kLanes, 0.0f);
    for (int i = 0; i < open.count; ++i) scratch[open.channels[i]] = x[i];
    return scratch;
  }

  int in_, out_;
  bool gated_;
  int rows_, columns_;
  Applied activation_;
  Floats weights_, bias_;
};

}  // namespace

OperatorPtr make_linear(const Plan& plan, const OpSpec& op) { return std::make_unique<Linear>(plan, op); }

}  // namespace sluice
