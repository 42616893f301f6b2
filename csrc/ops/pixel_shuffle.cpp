// Channels to pixels: factor * factor channels become as many pixels of one, as torch.nn.functional has it.
#include <algorithm>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  const ValueSpec& in = rules.plane();
  const int factor = rules.between(1, kMaxSide, "factor");
  rules.require(in.channels() % (factor * factor) == 0, "factor does not fit the channels");
  rules.require(rules.map() == repeated(rules.out_map(), factor * factor), "changes which flags close its channels");
  rules.require(in.height() <= kMaxSide / factor && in.width() <= kMaxSide / factor, "plane becomes too large");
  return {in.channels() / (factor * factor), in.height() * factor, in.width() * factor};
}

// All channels that become one are stored or none, side by side.
class PixelShuffle final : public Operator {
 public:
  explicit PixelShuffle(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), factor_(integer(op, "factor")) {}

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const int entries = state.open(out_).count;
    for_blocks(state, out, blocks_of(entries), [&](int block, Span rows) {
      const int stored = std::min(kLanes, entries - block * kLanes);
      for (int y = rows.begin; y < rows.end; ++y)
        for (int j = 0; j < factor_; ++j) copy(state, block, stored, y, j);
    });
  }

 private:
  // Every factor-th pixel of a row, from the j-th on.
  void copy(RunState& state, int block, int stored, int y, int j) const {
    const View &in = state.views[in_], &out = state.views[out_];
    const float* from[kLanes];
    for (int lane = 0; lane < stored; ++lane) {
      const int entry = ((block * kLanes + lane) * factor_ + y % factor_) * factor_ + j;
      from[lane] = lane_of(in, entry, y / factor_);
    }
    float* to = row_of(out, block, y) + j * kLanes;
    for (int x = 0; x < in.width; ++x, to += factor_ * kLanes) {
      for (int lane = 0; lane < stored; ++lane) to[lane] = from[lane][x * kLanes];
      std::fill(to + stored, to + kLanes, 0.0f);
    }
  }

  int in_, out_, factor_;
};

OperatorPtr make(const Making& making) { return std::make_unique<PixelShuffle>(making.op); }

}  // namespace

extern const OpRoom pixel_shuffle_room;
const OpRoom pixel_shuffle_room = {"pixel_shuffle", check, make};

}  // namespace sluice
