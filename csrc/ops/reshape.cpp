// Another shape of the same values, in the order of [C, H, W]. What is gated keeps its channels, or cuts each into as
// many: a gated flatten.
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

int64_t pixels_of(const ValueSpec& value) { return int64_t{value.height()} * value.width(); }

Shape check(const Rules& rules) {
  rules.reads(1);
  const ValueSpec &in = rules.in(), &out = rules.out();
  rules.require(in.channels() * pixels_of(in) == out.channels() * pixels_of(out), "changes the number of values");
  const ChannelMap map = rules.map(), out_map = rules.out_map();
  if (map.empty() && out_map.empty()) return out.shape;
  rules.require(pixels_of(in) % pixels_of(out) == 0, "joins channels, and they are gated");
  const int cut = static_cast<int>(pixels_of(in) / pixels_of(out));
  rules.require(repeated(map, cut) == out_map, "changes which flags close its channels");
  return out.shape;
}

class Reshape final : public Operator {
 public:
  explicit Reshape(const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {}

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const int entries = state.open(out_).count;
    clear_rest(out, entries);
    const int64_t values = int64_t{entries} * out.height * out.width;
    const int chunks = values < kFewPixels * kLanes ? 1 : state.pool.threads();
    state.pool.run(chunks, [&](int chunk, int) { copy(state, share_of(entries, chunk, chunks)); });
  }

 private:
  // Stored channels are cut as all channels are.
  void copy(RunState& state, Span entries) const {
    const View &in = state.views[in_], &out = state.views[out_];
    const int64_t pixels = int64_t{in.height} * in.width;
    const int64_t first = int64_t{entries.begin} * out.height * out.width;
    int entry = static_cast<int>(first / pixels), y = static_cast<int>(first % pixels / in.width);
    int x = static_cast<int>(first % in.width);
    for (int e = entries.begin; e < entries.end; ++e)
      for (int row = 0; row < out.height; ++row) {
        float* to = lane_of(out, e, row);
        for (int column = 0; column < out.width; ++column, to += kLanes) {
          *to = lane_of(in, entry, y)[x * kLanes];
          if (++x < in.width) continue;
          x = 0;
          if (++y < in.height) continue;
          y = 0;
          ++entry;
        }
      }
  }

  int in_, out_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Reshape>(making.op); }

}  // namespace

extern const OpRoom reshape_room;
const OpRoom reshape_room = {"reshape", check, make};

}  // namespace sluice
