// Some channels side by side.
#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  const ValueSpec& in = rules.in();
  const int start = rules.between(0, in.channels() - 1, "start");
  const int size = rules.between(1, in.channels() - start, "size");
  rules.require(rules.out_map() == part_of(rules.map(), start, size), "changes which flags close its channels");
  Shape shape = in.shape;
  shape[0] = size;
  return shape;
}

class Slice final : public Operator {
 public:
  explicit Slice(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), start_(integer(op, "start")) {}

  void run(RunState& state) const override {
    gather(state, sources_of(state, in_, out_, [&](int channel) { return start_ + channel; }), out_);
  }

 private:
  int in_, out_, start_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Slice>(making.op); }

}  // namespace

extern const OpRoom slice_room;
const OpRoom slice_room = {"slice", check, make};

}  // namespace sluice
