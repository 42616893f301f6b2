// Gates: here a run decides which work it skips.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  const ValueSpec& logits = rules.vector();
  rules.require(rules.map().empty(), "reads gated channels");
  rules.require(rules.writes_gate(), "must write a gate");
  number(rules.op, "threshold");
  rules.between(0, logits.channels(), "top_k");
  rules.between(0, logits.channels(), "keep_open");
  return logits.shape;
}

class Gate final : public Operator {
 public:
  explicit Gate(const OpSpec& op)
      : logits_(op.inputs[0]),
        gate_(op.output),
        threshold_(number(op, "threshold")),
        keep_open_(integer(op, "keep_open")) {}
  void run(RunState& state) const override {
    state.set_flags(gate_, state.views[logits_].data, threshold_, keep_open_);
  }
  void skip(RunState& state) const override { state.leave_closed(gate_); }

 private:
  int logits_, gate_;
  float threshold_;
  int keep_open_;  // the first so many flags are always open
};

// The k largest logits at any threshold; of equal logits the first. Flags that are always open count among the k.
class TopGate final : public Operator {
 public:
  explicit TopGate(const OpSpec& op)
      : logits_(op.inputs[0]), gate_(op.output), count_(integer(op, "top_k")), keep_open_(integer(op, "keep_open")) {}

  void run(RunState& state) const override {
    const size_t gates = state.flags[gate_].size();
    std::vector<float> logits(state.views[logits_].data, state.views[logits_].data + gates);
    for (float& logit : logits)
      if (std::isnan(logit)) logit = -std::numeric_limits<float>::infinity();  // there is no order with NaN
    std::fill_n(logits.begin(), keep_open_, std::numeric_limits<float>::infinity());
    std::vector<int> order(gates);
    std::iota(order.begin(), order.end(), 0);
    const auto before = [&](int a, int b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    std::partial_sort(order.begin(), order.begin() + count_, order.end(), before);
    std::vector<uint8_t> flags(gates, 0);
    for (int i = 0; i < count_; ++i) flags[order[i]] = 1;
    std::fill_n(flags.begin(), keep_open_, uint8_t{1});
    state.set_flags(gate_, flags);
  }
  void skip(RunState& state) const override { state.leave_closed(gate_); }

 private:
  int logits_, gate_, count_, keep_open_;
};

OperatorPtr make(const Making& making) {
  if (integer(making.op, "top_k") > 0) return std::make_unique<TopGate>(making.op);
  return std::make_unique<Gate>(making.op);
}

}  // namespace

extern const OpRoom gate_room;
const OpRoom gate_room = {"gate", check, make};

}  // namespace sluice
