// Gates and exits: where a run decides what it leaves out.
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

OperatorPtr make_gate(const OpSpec& op) { return std::make_unique<Gate>(op); }
OperatorPtr make_exit(const OpSpec& op, int index) { return std::make_unique<Exit>(op, index); }

}  // namespace sluice
