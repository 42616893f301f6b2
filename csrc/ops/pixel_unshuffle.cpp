// Pixels to channels: the inverse of pixel_shuffle.
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
  rules.require(in.height() % factor == 0 && in.width() % factor == 0, "factor does not fit the plane");
  rules.require(in.channels() <= kMaxChannels / (factor * factor), "makes too many channels");
  rules.require(repeated(rules.map(), factor * factor) == rules.out_map(), "changes which flags close its channels");
  return {in.channels() * factor * factor, in.height() / factor, in.width() / factor};
}

class PixelUnshuffle final : public Operator {
 public:
  explicit PixelUnshuffle(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), factor_(integer(op, "factor")) {}

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const int entries = state.open(out_).count;
    for_blocks(state, out, blocks_of(entries), [&](int block, Span rows) {
      const int stored = std::min(kLanes, entries - block * kLanes);
      for (int y = rows.begin; y < rows.end; ++y) copy(state, block, stored, y);
    });
  }

 private:
  void copy(RunState& state, int block, int stored, int y) const {
    const View &in = state.views[in_], &out = state.views[out_];
    const float* from[kLanes];
    for (int lane = 0; lane < stored; ++lane) {
      const int entry = block * kLanes + lane, column = entry % factor_, row = entry / factor_ % factor_;
      from[lane] = lane_of(in, entry / (factor_ * factor_), y * factor_ + row) + column * kLanes;
    }
    float* to = row_of(out, block, y);
    const size_t step = static_cast<size_t>(factor_) * kLanes;
    for (int x = 0; x < out.width; ++x, to += kLanes) {
      for (int lane = 0; lane < stored; ++lane) to[lane] = from[lane][x * step];
      std::fill(to + stored, to + kLanes, 0.0f);
    }
  }

  int in_, out_, factor_;
};

OperatorPtr make(const Making& making) { return std::make_unique<PixelUnshuffle>(making.op); }

}  // namespace

extern const OpRoom pixel_unshuffle_room;
const OpRoom pixel_unshuffle_room = {"pixel_unshuffle", check, make};

}  // namespace sluice
