// Every so many pixels of a part of the plane.
#include <algorithm>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

// How many pixels from `first` on lie in a side.
int cropped(const Rules& rules, int side, const char* first, const char* axis) {
  const int64_t size = rules.between(1, kMaxSide, along("size", axis));
  const int64_t stride = rules.between(1, kMaxStride, along("stride", axis));
  rules.require(rules.between(0, kMaxSide, first) + (size - 1) * stride < side, "reaches over the plane");
  return static_cast<int>(size);
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.same_map();
  const ValueSpec& in = rules.plane();
  return {in.channels(), cropped(rules, in.height(), "top", "y"), cropped(rules, in.width(), "left", "x")};
}

class Crop final : public Operator {
 public:
  explicit Crop(const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        top_(integer(op, "top")),
        left_(integer(op, "left")),
        stride_y_(integer(op, "stride_y")),
        stride_x_(integer(op, "stride_x")) {}

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    for_blocks(state, out, blocks_of(state.open(in_).count), [&](int block, Span rows) {
      for (int y = rows.begin; y < rows.end; ++y)
        copy_row(row_of(in, block, top_ + y * stride_y_) + left_ * kLanes, row_of(out, block, y), out.width);
    });
  }

 private:
  void copy_row(const float* from, float* to, int width) const {
    if (stride_x_ == 1) return void(std::copy_n(from, width * kLanes, to));
    const size_t step = static_cast<size_t>(stride_x_) * kLanes;
    for (int x = 0; x < width; ++x) std::copy_n(from + x * step, kLanes, to + x * kLanes);
  }

  int in_, out_, top_, left_, stride_y_, stride_x_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Crop>(making.op); }

}  // namespace

extern const OpRoom crop_room;
const OpRoom crop_room = {"crop", check, make};

}  // namespace sluice
