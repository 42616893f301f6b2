// The image into the program's input.
#include <algorithm>

#include "../operator.h"
#include "../planes.h"

namespace sluice {
namespace {

class Load final : public Operator {
 public:
  explicit Load(const Plan& plan) : value_(plan.program().input), channels_(plan.value(value_).channels()) {}

  void run(RunState& state) const override {
    const View& to = state.views[value_];
    clear(state, to, blocks_of(channels_));
    const float* in = state.image;
    for (int c = 0; c < channels_; ++c)
      for (int y = 0; y < to.height; ++y) {
        float* out = lane_of(to, c, y);
        for (int x = 0; x < to.width; ++x) out[x * kLanes] = *in++;
      }
  }

 private:
  int value_, channels_;
};

}  // namespace

OperatorPtr make_load(const Plan& plan) { return std::make_unique<Load>(plan); }

}  // namespace sluice
