// Channels by number: channel c of the output is channel index[c] of the input, or zero where index[c] is -1. The
// numbers are the op's weight.
#include <cmath>

#include "planes.h"
#include "rules.h"

namespace sluice {
namespace {

std::vector<int> index_of(const OpSpec& op) {
  std::vector<int> index(static_cast<size_t>(op.weight.shape[0]));
  for (size_t c = 0; c < index.size(); ++c) index[c] = static_cast<int>(op.weight.data[c]);
  return index;
}

ChannelMap picked(const ChannelMap& map, const std::vector<int>& index) {
  ChannelMap result(map.empty() ? 0 : index.size(), -1);
  for (size_t c = 0; c < result.size(); ++c)
    if (index[c] != -1) result[c] = map[index[c]];
  return part_of(result, 0, static_cast<int>(result.size()));
}

Shape check(const Rules& rules) {
  rules.reads(1);
  rules.weight(1);
  Shape shape = rules.in().shape;
  for (int64_t c = 0; c < rules.weight_side(0); ++c) {
    const float number = rules.op.weight.data[c];
    rules.require(number >= -1 && number < shape[0] && number == std::floor(number), "index is no channel");
  }
  const std::vector<int> index = index_of(rules.op);
  rules.require(rules.out_map() == picked(rules.map(), index), "changes which flags close its channels");
  shape[0] = static_cast<int>(index.size());
  return shape;
}

class IndexSelect final : public Operator {
 public:
  explicit IndexSelect(const OpSpec& op) : in_(op.inputs[0]), out_(op.output), index_(index_of(op)) {}

  void run(RunState& state) const override {
    gather(state, sources_of(state, in_, out_, [&](int channel) { return index_[channel]; }), out_);
  }

 private:
  int in_, out_;
  std::vector<int> index_;
};

OperatorPtr make(const Making& making) { return std::make_unique<IndexSelect>(making.op); }

}  // namespace

extern const OpRoom index_select_room;
const OpRoom index_select_room = {"index_select", check, make};

}  // namespace sluice
