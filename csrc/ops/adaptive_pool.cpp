// Mean or largest value of areas that cover the plane, as torch.nn.functional.adaptive_avg_pool2d cuts them.
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.same_map();
  rules.flag("maximum");
  return {rules.plane().channels(), rules.between(1, kMaxSide, "size_y"), rules.between(1, kMaxSide, "size_x")};
}

class AdaptivePool final : public Operator {
 public:
  AdaptivePool(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]), out_(op.output), maximum_(integer(op, "maximum") != 0) {
    const ValueSpec &in = plan.value(in_), &out = plan.value(out_);
    rows_ = areas(in.height(), out.height());
    columns_ = areas(in.width(), out.width());
  }

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    for_blocks(state, out, blocks_of(state.open(in_).count), [&](int block, Span rows) {
      AreaPool p = {state.views[in_], out, rows_.data(), columns_.data(), maximum_};
      p.block_begin = block;
      p.block_end = block + 1;
      p.row_begin = rows.begin;
      p.row_end = rows.end;
      state.kernels.area_pool(p);
    });
  }

 private:
  // From the floor of the one border to the ceiling of the other.
  static std::vector<Span> areas(int side, int size) {
    std::vector<Span> areas(size);
    for (int i = 0; i < size; ++i)
      areas[i] = {static_cast<int>(int64_t{i} * side / size),
                  static_cast<int>((int64_t{i + 1} * side + size - 1) / size)};
    return areas;
  }

  int in_, out_;
  bool maximum_;
  std::vector<Span> rows_, columns_;
};

OperatorPtr make(const Making& making) { return std::make_unique<AdaptivePool>(making.plan, making.op); }

}  // namespace

extern const OpRoom adaptive_pool_room;
const OpRoom adaptive_pool_room = {"adaptive_pool", check, make};

}  // namespace sluice
