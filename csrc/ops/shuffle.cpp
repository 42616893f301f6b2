// Channel shuffle: channel c of the output is channel (c % groups) * (C / groups) + c / groups of the input.
#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.reads(1);
  const int channels = rules.in().channels(), groups = rules.between(1, channels, "groups");
  rules.require(channels % groups == 0, "groups do not fit");
  const ChannelMap map = rules.map();
  ChannelMap shuffled = map;
  for (size_t c = 0; c < map.size(); ++c) shuffled[c] = map[c % groups * (channels / groups) + c / groups];
  rules.require(rules.out_map() == shuffled, "changes which flags close its channels");
  return rules.in().shape;
}

class Shuffle final : public Operator {
 public:
  Shuffle(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        groups_(integer(op, "groups")),
        per_group_(plan.value(in_).channels() / groups_) {}

  void run(RunState& state) const override {
    const auto channel = [&](int c) { return c % groups_ * per_group_ + c / groups_; };
    gather(state, sources_of(state, in_, out_, channel), out_);
  }

 private:
  int in_, out_, groups_, per_group_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Shuffle>(making.plan, making.op); }

}  // namespace

extern const OpRoom shuffle_room;
const OpRoom shuffle_room = {"shuffle", check, make};

}  // namespace sluice
