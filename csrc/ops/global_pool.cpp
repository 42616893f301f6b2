// Mean, mean size or largest value of each channel's plane.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "activations.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

PoolFunction function_of(const OpSpec& op) {
  const std::string& name = text(op, "function");
  if (name == "mean") return PoolFunction::mean;
  if (name == "abs") return PoolFunction::absolute_mean;
  if (name == "max") return PoolFunction::maximum;
  throw std::invalid_argument("op '" + op.name + "': function is unknown");
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.same_map();
  rules.flag("counted");
  function_of(rules.op);
  return {rules.plane().channels()};
}

// A plane of many rows is cut by rows, as the convolutions before and after it are. Otherwise both threads would read
// the same cache lines, and writing to them again would need an answer of the other core. Cuts and sums are the same
// for any number of threads.
class PlanePool final : public Operator {
 public:
  PlanePool(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        counted_(integer(op, "counted") != 0),
        function_(function_of(op)),
        strips_(strips_of(plan.value(in_).height())),
        sums_(strips_ == 1 ? 0 : static_cast<size_t>(strips_) * blocks_of(plan.value(in_).channels()) * kLanes) {}

  size_t scratch_floats() const override { return sums_; }

  void run(RunState& state) const override {
    const int channels = state.open(in_).count, blocks = blocks_of(channels);
    const View& in = state.views[in_];
    float* out = state.views[out_].data;
    const int few = strips_ > 1 ? kFewInStrips : kFewPixels;
    const int threads = blocks * in.height * in.width < few ? 1 : state.pool.threads();
    if (strips_ > 1) {
      const int chunks = threads == 1 ? 1 : strips_;
      state.pool.run(chunks, [&](int chunk, int) {
        const Span share = share_of(strips_, chunk, chunks);
        for (int strip = share.begin; strip < share.end; ++strip)
          state.kernels.global_pool(
              {rows_of(in, strip), state.scratch(0) + strip * blocks * kLanes, 0, blocks, function_});
      });
      put_together(state, in, blocks * kLanes, out);
    } else {
      const int chunks = std::min(blocks, threads);
      state.pool.run(chunks, [&](int chunk, int) {
        const Span share = share_of(blocks, chunk, chunks);
        state.kernels.global_pool({in, out, share.begin, share.end, function_});
      });
    }
    if (counted_) state.macs += int64_t{channels} * in.height * in.width;
  }

 private:
  static constexpr int kStripRows = kLargePlane / 2;
  // If the convolutions around it are cut by rows, each thread reads the rows that it wrote, even if starting a thread
  // costs as much as it saves. If one thread read everything, the next convolution would pay several times that to get
  // its cache lines back.
  static constexpr int kFewInStrips = 512;  // of 64 bytes

  static int strips_of(int height) { return height <= kStripRows ? 1 : std::max(2, height / kStripRows); }

  View rows_of(const View& in, int strip) const {
    const Span rows = share_of(in.height, strip, strips_);
    return {in.data + rows.begin * in.row, rows.end - rows.begin, in.width, in.row, in.block};
  }

  // The mean of the strips' means, or the largest of their largest; a NaN stays one.
  void put_together(RunState& state, const View& in, int floats, float* out) const {
    const bool maximum = function_ == PoolFunction::maximum;
    const float* strips = state.scratch(0);
    std::fill_n(out, floats, maximum ? kNoClamp.low : 0.0f);
    for (int strip = 0; strip < strips_; ++strip, strips += floats) {
      const float share = static_cast<float>(rows_of(in, strip).height) / static_cast<float>(in.height);
      for (int i = 0; i < floats; ++i)
        if (!maximum)
          out[i] += share * strips[i];
        else if (!(strips[i] <= out[i]))
          out[i] = std::isnan(out[i]) ? out[i] : strips[i];
    }
  }

  int in_, out_;
  bool counted_;
  PoolFunction function_;
  int strips_;
  size_t sums_;
};

OperatorPtr make(const Making& making) { return std::make_unique<PlanePool>(making.plan, making.op); }

}  // namespace

extern const OpRoom global_pool_room;
const OpRoom global_pool_room = {"global_pool", check, make};

}  // namespace sluice
