// Copies the channels that are open in both input and output; the others are zero. Adds or removes a channel map.
#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.out();
  return rules.in().shape;
}

class Select final : public Operator {
 public:
  explicit Select(const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {}

  void run(RunState& state) const override {
    gather(state, sources_of(state, in_, out_, [](int channel) { return channel; }), out_);
  }

 private:
  int in_, out_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Select>(making.op); }

}  // namespace

extern const OpRoom select_room;
const OpRoom select_room = {"select", check, make};

}  // namespace sluice
