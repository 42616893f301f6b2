// Gates and exits: where a run decides what it leaves out.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "operator.h"

namespace sluice {
namespace {

class Gate final : public Operator {
 public:
  explicit Gate(const OpSpec& op) : logits_(op.inputs[0]), gate_(op.output), threshold_(op.threshold) {}
  void run(Run& run) const override { run.set_flags(gate_, run.views[logits_].data, threshold_); }

 private:
  int logits_, gate_;
  float threshold_;
};

// The k largest logits whatever the threshold; of equals the first.
class TopGate final : public Operator {
 public:
  explicit TopGate(const OpSpec& op) : logits_(op.inputs[0]), gate_(op.output), count_(attribute(op, "top_k")) {}

  void run(Run& run) const override {
    const size_t gates = run.flags[gate_].size();
    std::vector<float> logits(run.views[logits_].data, run.views[logits_].data + gates);
    for (float& logit : logits)
      if (std::isnan(logit)) logit = -std::numeric_limits<float>::infinity();  // there is no order with NaN
    std::vector<int> order(gates);
    std::iota(order.begin(), order.end(), 0);
    const auto before = [&](int a, int b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    std::partial_sort(order.begin(), order.begin() + count_, order.end(), before);
    std::vector<uint8_t> flags(gates, 0);
    for (int i = 0; i < count_; ++i) flags[order[i]] = 1;
    run.set_flags(gate_, flags);
  }

 private:
  int logits_, gate_, count_;
};

class Exit final : public Operator {
 public:
  Exit(const OpSpec& op, int index) : gate_(op.inputs[1]), index_(index) {}
  void run(Run& run) const override {
    if (!run.is_open(gate_)) return;
    run.ended = true;
    run.exit = index_;
  }

 private:
  int gate_, index_;
};

}  // namespace

OperatorPtr make_gate(const OpSpec& op) {
  if (attribute(op, "top_k") > 0) return std::make_unique<TopGate>(op);
  return std::make_unique<Gate>(op);
}
OperatorPtr make_exit(const OpSpec& op, int index) { return std::make_unique<Exit>(op, index); }

}  // namespace sluice
