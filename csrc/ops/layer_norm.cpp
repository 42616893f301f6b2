// (x - mean) / sqrt(variance + eps) * weight + bias over the channels at each pixel.
#include "planes.h"
#include "rules.h"
#include "shares.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.no_map();
  rules.per_channel(rules.op.weight);
  rules.per_channel(rules.op.bias);
  rules.require(number(rules.op, "eps") >= 0.0f, "eps is below zero");
  return rules.in().shape;
}

class Norm final : public Operator {
 public:
  Norm(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        channels_(plan.value(in_).channels()),
        epsilon_(number(op, "eps")),
        weight_(padded_weight(op, channels_)),
        bias_(padded_bias(op, channels_)) {}

  void run(RunState& state) const override {
    const View &in = state.views[in_], &out = state.views[out_];
    const Shares shares(state.pool.threads(), out.height, 1, 1, 1);
    state.pool.run(shares.chunks, [&](int chunk, int) {
      const Span rows = shares.rows_of(chunk);
      LayerNorm norm = {in, out, channels_, weight_.get(), bias_.get()};
      norm.epsilon = epsilon_;
      norm.row_begin = rows.begin;
      norm.row_end = rows.end;
      state.kernels.layer_norm(norm);
    });
  }

 private:
  int in_, out_, channels_;
  float epsilon_;
  Floats weight_, bias_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Norm>(making.plan, making.op); }

}  // namespace

extern const OpRoom layer_norm_room;
const OpRoom layer_norm_room = {"layer_norm", check, make};

}  // namespace sluice
