// Nearest and bilinear, as torch.nn.functional.interpolate defines them; neighbours and shares are known at load.
#include <algorithm>
#include <stdexcept>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

bool is_bilinear(const OpSpec& op) {
  const std::string& mode = text(op, "mode");
  if (mode != "bilinear" && mode != "nearest") throw std::invalid_argument("op '" + op.name + "': mode is unknown");
  return mode == "bilinear";
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.same_map();
  is_bilinear(rules.op);
  rules.flag("align_corners");
  return {rules.plane().channels(), rules.between(1, kMaxSide, "size_y"), rules.between(1, kMaxSide, "size_x")};
}

class Bilinear final : public Operator {
 public:
  Bilinear(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {
    const bool align = integer(op, "align_corners") != 0;
    const ValueSpec &in = plan.value(in_), &out = plan.value(out_);
    rows_ = taps(in.height(), out.height(), align);
    columns_ = taps(in.width(), out.width(), align);
  }

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    for_blocks(state, out, blocks_of(state.open(in_).count), [&](int block, Span rows) {
      for (int y = rows.begin; y < rows.end; ++y) {
        Blend blend = {};
        blend.upper = row_of(in, block, rows_.low[y]);
        blend.lower = row_of(in, block, rows_.high[y]);
        blend.out = row_of(out, block, y);
        blend.left = columns_.low.data();
        blend.right = columns_.high.data();
        blend.right_share = columns_.share.data();
        blend.lower_share = rows_.share[y];
        blend.width = out.width;
        state.kernels.blend(blend);
      }
    });
  }

 private:
  struct Taps {
    std::vector<int32_t> low, high;
    std::vector<float> share;  // of the higher neighbour
  };

  static Taps taps(int side, int size, bool align) {
    Taps taps;
    for (int i = 0; i < size; ++i) {
      const double aligned = size > 1 ? i * (static_cast<double>(side - 1) / (size - 1)) : 0.0;
      const double centred = std::max((i + 0.5) * (static_cast<double>(side) / size) - 0.5, 0.0);
      const double position = align ? aligned : centred;
      const int low = std::min(static_cast<int>(position), side - 1);
      taps.low.push_back(low);
      taps.high.push_back(std::min(low + 1, side - 1));
      taps.share.push_back(static_cast<float>(position - low));
    }
    return taps;
  }

  int in_, out_;
  Taps rows_, columns_;
};

class Nearest final : public Operator {
 public:
  Nearest(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {
    const ValueSpec &in = plan.value(in_), &out = plan.value(out_);
    rows_ = sources(in.height(), out.height());
    columns_ = sources(in.width(), out.width());
  }

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    for_blocks(state, out, blocks_of(state.open(in_).count), [&](int block, Span rows) {
      for (int y = rows.begin; y < rows.end; ++y) {
        const float* from = row_of(in, block, rows_[y]);
        float* to = row_of(out, block, y);
        for (int x = 0; x < out.width; ++x) std::copy_n(from + columns_[x] * kLanes, kLanes, to + x * kLanes);
      }
    });
  }

 private:
  // In float32 as torch computes, which may fall below a whole number that is exact.
  static std::vector<int> sources(int side, int size) {
    const float scale = static_cast<float>(side) / static_cast<float>(size);
    std::vector<int> sources(size);
    for (int i = 0; i < size; ++i) sources[i] = std::min(static_cast<int>(static_cast<float>(i) * scale), side - 1);
    return sources;
  }

  int in_, out_;
  std::vector<int> rows_, columns_;
};

OperatorPtr make(const Making& making) {
  if (is_bilinear(making.op)) return std::make_unique<Bilinear>(making.plan, making.op);
  return std::make_unique<Nearest>(making.plan, making.op);
}

}  // namespace

extern const OpRoom resize_room;
const OpRoom resize_room = {"resize", check, make};

}  // namespace sluice
