// Softmax over `size` at each pixel, its channels seen as [outer, size, inner].
#include <algorithm>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.no_map();
  const int channels = rules.in().channels();
  const int64_t outer = rules.between(1, channels, "outer"), size = rules.between(1, channels, "size");
  const int64_t inner = rules.between(1, channels, "inner");
  rules.require(outer * size <= channels && outer * size * inner == channels, "axes do not fit the channels");
  return rules.in().shape;
}

class Softmax final : public Operator {
 public:
  Softmax(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        outer_(integer(op, "outer")),
        size_(integer(op, "size")),
        inner_(integer(op, "inner")),
        blocks_(blocks_of(plan.value(in_).channels())) {}

  size_t scratch_floats() const override { return static_cast<size_t>(blocks_) * kLanes + inner_; }

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const Shares shares(state.pool.threads(), out.height, 1, 1, 1);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      const Span rows = shares.rows_of(chunk);
      for (int y = rows.begin; y < rows.end; ++y)
        for (int x = 0; x < out.width; ++x) at_pixel(state, y, x, thread);
    });
  }

 private:
  void at_pixel(RunState& state, int y, int x, int thread) const {
    const View &in = state.views[in_], &out = state.views[out_];
    float *values = state.scratch(thread), *row = values + static_cast<size_t>(blocks_) * kLanes;
    for (int block = 0; block < blocks_; ++block)
      std::copy_n(row_of(in, block, y) + x * kLanes, kLanes, values + block * kLanes);
    for (int o = 0; o < outer_; ++o) subtract_largest(values + o * size_ * inner_, row);
    state.kernels.curve({values, static_cast<size_t>(blocks_) * kLanes, Curve::exponential});
    for (int o = 0; o < outer_; ++o) divide_by_sum(values + o * size_ * inner_, row);
    std::fill(values + outer_ * size_ * inner_, row, 0.0f);
    for (int block = 0; block < blocks_; ++block)
      std::copy_n(values + block * kLanes, kLanes, row_of(out, block, y) + x * kLanes);
  }

  // Both of [size, inner], with a row of working memory.
  void subtract_largest(float* values, float* largest) const {
    std::copy_n(values, inner_, largest);
    for (int s = 1; s < size_; ++s)
      for (int i = 0; i < inner_; ++i) largest[i] = std::max(values[s * inner_ + i], largest[i]);
    for (int s = 0; s < size_; ++s)
      for (int i = 0; i < inner_; ++i) values[s * inner_ + i] -= largest[i];
  }

  void divide_by_sum(float* values, float* sums) const {
    std::fill_n(sums, inner_, 0.0f);
    for (int s = 0; s < size_; ++s)
      for (int i = 0; i < inner_; ++i) sums[i] += values[s * inner_ + i];
    for (int s = 0; s < size_; ++s)
      for (int i = 0; i < inner_; ++i) values[s * inner_ + i] /= sums[i];
  }

  int in_, out_, outer_, size_, inner_, blocks_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Softmax>(making.plan, making.op); }

}  // namespace

extern const OpRoom softmax_room;
const OpRoom softmax_room = {"softmax", check, make};

}  // namespace sluice
