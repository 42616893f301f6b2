// The same value for every image.
#include <algorithm>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  const TensorSpec& bias = rules.op.bias;
  rules.reads(0);
  rules.require(rules.out_map().empty(), "writes gated channels");
  rules.require(bias.data != nullptr && (bias.shape.size() == 1 || bias.shape.size() == 3), "needs a bias");
  Shape shape;
  for (const int64_t side : bias.shape) {
    rules.require(side >= 1 && side <= kMaxChannels, "bias is out of range");
    shape.push_back(static_cast<int>(side));
  }
  return shape;
}

class Constant final : public Operator {
 public:
  Constant(const Plan& plan, const OpSpec& op) : out_(op.output) {
    const ValueSpec& value = plan.value(out_);
    pixels_ = static_cast<size_t>(value.height()) * value.width();
    values_ = make_floats(blocks_of(value.channels()) * pixels_ * kLanes);
    for (int c = 0; c < value.channels(); ++c)
      for (size_t p = 0; p < pixels_; ++p)
        values_[(c / kLanes * pixels_ + p) * kLanes + c % kLanes] = op.bias.data[c * pixels_ + p];
  }

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const size_t row = static_cast<size_t>(out.width) * kLanes;
    for_blocks(state, out, blocks_of(state.plan.value(out_).channels()), [&](int block, Span rows) {
      for (int y = rows.begin; y < rows.end; ++y)
        std::copy_n(&values_[block * pixels_ * kLanes + y * row], row, row_of(out, block, y));
    });
  }

 private:
  int out_;
  size_t pixels_;
  Floats values_;  // [block][pixel][16]
};

OperatorPtr make(const Making& making) { return std::make_unique<Constant>(making.plan, making.op); }

}  // namespace

extern const OpRoom constant_room;
const OpRoom constant_room = {"constant", check, make};

}  // namespace sluice
