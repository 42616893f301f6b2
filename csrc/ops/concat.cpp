// Channels of several values one after the other.
#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

// An output channel is always open, or closed by the flag of its input channel.
void require_flags(const Rules& rules, const ChannelMap& out, int64_t first, int input) {
  const ChannelMap map = rules.map(input);
  const int channels = rules.in(input).channels();
  rules.require(out.empty() || first + channels <= static_cast<int64_t>(out.size()), "output has too few channels");
  for (int c = 0; c < channels && !out.empty(); ++c) {
    const int64_t flag = out[first + c];
    rules.require(flag == -1 || (!map.empty() && map[c] == flag), "output channel has the flag of another one");
  }
}

Shape check(const Rules& rules) {
  const OpSpec& op = rules.op;
  rules.reads(1, kMaxInputs);
  const ValueSpec& first = rules.in();
  const ChannelMap map = rules.out_map();
  int64_t channels = 0;
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    const ValueSpec& part = rules.in(static_cast<int>(i));
    rules.require(
        part.is_plane() == first.is_plane() && part.height() == first.height() && part.width() == first.width(),
        "joins planes of different sizes");
    require_flags(rules, map, channels, static_cast<int>(i));
    channels += part.channels();
  }
  rules.require(channels <= kMaxChannels, "joins too many channels");
  Shape shape = first.shape;
  shape[0] = static_cast<int>(channels);
  return shape;
}

class Concat final : public Operator {
 public:
  Concat(const Plan& plan, const OpSpec& op) : inputs_(op.inputs), out_(op.output) {
    for (const int input : inputs_) channels_.push_back(plan.value(input).channels());
  }

  void run(RunState& state) const override {
    const OpenList open = state.open(out_);
    std::vector<Source> sources(open.count);
    int first = 0, i = 0;
    for (size_t part = 0; part < inputs_.size(); first += channels_[part++]) {
      const std::vector<int> entries = entries_of(state, inputs_[part]);
      for (; i < open.count && open.channels[i] < first + channels_[part]; ++i)
        if (const int entry = entries[open.channels[i] - first]; entry != -1) sources[i] = {inputs_[part], entry};
    }
    gather(state, sources, out_);
  }

 private:
  std::vector<int> inputs_, channels_;
  int out_;
};

OperatorPtr make(const Making& making) { return std::make_unique<Concat>(making.plan, making.op); }

}  // namespace

extern const OpRoom concat_room;
const OpRoom concat_room = {"concat", check, make};

}  // namespace sluice
