// An exit: if its gate is closed, its value is the program's output and no later op runs.
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.require(rules.op.inputs.size() == 2 && !rules.in(0).is_gate, "is no exit");
  rules.require(rules.in(1).is_gate && rules.in(1).channels() == 1, "ends by what is no gate of one flag");
  rules.require(rules.map().empty(), "ends with gated channels");
  rules.ends_program();
  return {};
}

class Exit final : public Operator {
 public:
  explicit Exit(const Making& making) : gate_(making.op.inputs[1]), index_(making.exit) {}
  void run(RunState& state) const override {
    if (state.is_open(gate_)) return;
    state.ended = true;
    state.exit = index_;
  }

 private:
  int gate_, index_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Exit>(making); }

}  // namespace

extern const OpRoom exit_room;
const OpRoom exit_room = {"exit", check, make};

}  // namespace sluice
