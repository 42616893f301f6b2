// A product with what has the same shape, or with one factor for each channel, for adjacent channels, or for each
// pixel.
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

enum class Factors { same_shape, channels, pixels };

Factors factors_of(const ValueSpec& x, const ValueSpec& y) {
  if (y.shape == x.shape) return Factors::same_shape;
  return y.is_plane() ? Factors::pixels : Factors::channels;
}

Shape check(const Rules& rules) {
  rules.reads(2);
  rules.same_map(0);
  const ValueSpec &x = rules.in(0), &y = rules.in(1);
  switch (factors_of(x, y)) {
    case Factors::same_shape: break;
    case Factors::pixels:
      rules.require(y.channels() == 1 && x.is_plane() && x.height() == y.height() && x.width() == y.width(),
                    "factors do not fit the pixels");
      break;
    case Factors::channels: rules.require(x.channels() % y.channels() == 0, "factors do not fit the channels"); break;
  }
  const bool alike = y.channels() == x.channels() && rules.map(1) == rules.map(0);
  rules.require(rules.map(1).empty() || alike, "factors are gated otherwise than what they multiply");
  return x.shape;
}

class Multiply final : public Operator {
 public:
  Multiply(const Plan& plan, const OpSpec& op)
      : x_(op.inputs[0]),
        y_(op.inputs[1]),
        out_(op.output),
        factors_(factors_of(plan.value(x_), plan.value(y_))),
        alike_(plan.list_of(x_) == plan.list_of(y_) && plan.value(x_).channels() == plan.value(y_).channels()),
        repeat_(factors_ == Factors::channels ? plan.value(x_).channels() / plan.value(y_).channels() : 1) {}

  void run(RunState& state) const override {
    std::vector<Source> sources;
    if (factors_ == Factors::same_shape && !alike_)
      sources = sources_of(state, y_, out_, [](int channel) { return channel; });
    const int blocks = blocks_of(state.open(x_).count);
    for_blocks(state, state.views[out_], blocks, [&](int block, Span rows) {
      switch (factors_) {
        case Factors::same_shape: return multiply_values(state, sources, block, rows);
        case Factors::channels: return multiply_channels(state, block, rows);
        case Factors::pixels: return multiply_pixels(state, block, rows);
      }
    });
  }

 private:
  // Factors that lie otherwise are laid in their place first, in the output.
  void multiply_values(RunState& state, const std::vector<Source>& sources, int block, Span rows) const {
    const View &x = state.views[x_], &out = state.views[out_];
    const int first = block * kLanes, channels = static_cast<int>(sources.size());
    for (int y = rows.begin; y < rows.end; ++y) {
      float* row = row_of(out, block, y);
      const float* factors = alike_ ? row_of(state.views[y_], block, y) : row;
      if (!alike_) gather_row(state, &sources[first], channels - first, y, row, out.width, false);
      state.kernels.product({row_of(x, block, y), factors, row, static_cast<size_t>(out.width) * kLanes});
    }
  }

  void multiply_channels(RunState& state, int block, Span rows) const {
    const OpenList open = state.open(x_);
    const float* factors = state.views[y_].data;
    Lanes lanes;
    for (int lane = 0, i = block * kLanes; lane < kLanes && i < open.count; ++lane, ++i)
      lanes.scale[lane] = factors[alike_ ? i : open.channels[i] / repeat_];
    scale_rows(state, state.views[x_], state.views[out_], block, rows, lanes);
  }

  void multiply_pixels(RunState& state, int block, Span rows) const {
    const View& out = state.views[out_];
    for (int y = rows.begin; y < rows.end; ++y)
      state.kernels.scale_pixels({row_of(state.views[x_], block, y), row_of(state.views[y_], 0, y),
                                  row_of(out, block, y), static_cast<size_t>(out.width) * kLanes});
  }

  int x_, y_, out_;
  Factors factors_;
  bool alike_;  // entries of both are the same channels
  int repeat_;  // channels per factor
};

OperatorPtr make(const Making& making) { return std::make_unique<Multiply>(making.plan, making.op); }

}  // namespace

extern const OpRoom multiply_room;
const OpRoom multiply_room = {"multiply", check, make};

}  // namespace sluice
