// Mean, sum or largest value over the channels at each pixel; closed channels count as zeros.
#include <stdexcept>

#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

PoolFunction function_of(const OpSpec& op) {
  const std::string& name = text(op, "function");
  if (name == "mean") return PoolFunction::mean;
  if (name == "max") return PoolFunction::maximum;
  if (name == "sum") return PoolFunction::sum;
  throw std::invalid_argument("op '" + op.name + "': function is unknown");
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.require(rules.out_map().empty(), "writes gated channels");
  function_of(rules.op);
  return {1, rules.plane().height(), rules.plane().width()};
}

class PixelPool final : public Operator {
 public:
  explicit PixelPool(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), function_(function_of(op)) {}

  void run(RunState& state) const override {
    const View& out = state.views[out_];
    const int channels = state.plan.value(in_).channels();
    const Shares shares(state.pool.threads(), out.height, 1, 1, 1);
    state.pool.run(shares.chunks, [&](int chunk, int) {
      const Span rows = shares.rows_of(chunk);
      ChannelPool p = {state.views[in_], out, state.open(in_).count, channels, function_};
      p.row_begin = rows.begin;
      p.row_end = rows.end;
      state.kernels.channel_pool(p);
    });
  }

 private:
  int in_, out_;
  PoolFunction function_;
};

OperatorPtr make(const Making& making) { return std::make_unique<PixelPool>(making.op); }

}  // namespace

extern const OpRoom channel_pool_room;
const OpRoom channel_pool_room = {"channel_pool", check, make};

}  // namespace sluice
