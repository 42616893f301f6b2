// Pixels around the plane, as torch.nn.functional.pad defines them.
#include <algorithm>
#include <stdexcept>

#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

enum class Mode { constant, reflect, replicate, circular };

Mode mode_of(const OpSpec& op) {
  const std::string& name = text(op, "mode");
  if (name == "constant") return Mode::constant;
  if (name == "reflect") return Mode::reflect;
  if (name == "replicate") return Mode::replicate;
  if (name == "circular") return Mode::circular;
  throw std::invalid_argument("op '" + op.name + "': mode is unknown");
}

int padded(const Rules& rules, int side, const char* before, const char* after) {
  const int least = rules.between(0, kMaxSide, before), most = rules.between(0, kMaxSide, after);
  const Mode mode = mode_of(rules.op);
  const int reach = mode == Mode::reflect ? side - 1 : mode == Mode::circular ? side : kMaxSide;
  rules.require(std::max(least, most) <= reach, "pads more than the plane has");
  return least + side + most;
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.same_map();
  number(rules.op, "fill");
  const ValueSpec& in = rules.plane();
  return {in.channels(), padded(rules, in.height(), "top", "bottom"), padded(rules, in.width(), "left", "right")};
}

class Pad final : public Operator {
 public:
  Pad(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output), fill_(number(op, "fill")) {
    const ValueSpec &in = plan.value(in_), &out = plan.value(out_);
    rows_ = sources(mode_of(op), in.height(), out.height(), integer(op, "top"));
    columns_ = sources(mode_of(op), in.width(), out.width(), integer(op, "left"));
    inside_ = {integer(op, "left"), integer(op, "left") + in.width()};
  }

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    const int channels = state.open(in_).count;
    for_blocks(state, out, blocks_of(channels), [&](int block, Span rows) {
      float fill[kLanes] = {};
      std::fill_n(fill, std::min(kLanes, channels - block * kLanes), fill_);
      for (int y = rows.begin; y < rows.end; ++y) {
        const float* from = rows_[y] == -1 ? nullptr : row_of(in, block, rows_[y]);
        write_row(from, row_of(out, block, y), fill);
      }
    });
  }

 private:
  // Of each position of the output, the one of the input that it shows; -1 where that is the constant.
  static std::vector<int> sources(Mode mode, int side, int size, int before) {
    std::vector<int> sources(size);
    for (int i = 0; i < size; ++i) {
      const int at = i - before;
      if (at >= 0 && at < side)
        sources[i] = at;
      else if (mode == Mode::constant)
        sources[i] = -1;
      else if (mode == Mode::replicate)
        sources[i] = at < 0 ? 0 : side - 1;
      else if (mode == Mode::reflect)
        sources[i] = at < 0 ? -at : 2 * (side - 1) - at;
      else
        sources[i] = at < 0 ? at + side : at - side;
    }
    return sources;
  }

  void write_row(const float* from, float* to, const float* fill) const {
    const auto show = [&](int x) {
      std::copy_n(from == nullptr || columns_[x] == -1 ? fill : from + columns_[x] * kLanes, kLanes, to + x * kLanes);
    };
    const int width = static_cast<int>(columns_.size());
    for (int x = 0; x < inside_.begin; ++x) show(x);
    if (from != nullptr)
      std::copy_n(from, (inside_.end - inside_.begin) * kLanes, to + inside_.begin * kLanes);
    else
      for (int x = inside_.begin; x < inside_.end; ++x) show(x);
    for (int x = inside_.end; x < width; ++x) show(x);
  }

  int in_, out_;
  float fill_;
  std::vector<int> rows_, columns_;
  Span inside_;  // columns of the output that show the plane itself
};

OperatorPtr make(const Making& making) { return std::make_unique<Pad>(making.plan, making.op); }

}  // namespace

extern const OpRoom pad_room;
const OpRoom pad_room = {"pad", check, make};

}  // namespace sluice
