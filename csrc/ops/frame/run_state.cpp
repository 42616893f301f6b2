#include "../run_state.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr int kReadable = 64;  // entries past the end of a list that kernels may read while they prefetch

// Without branches: every channel is written to the place of the next open one, and only an open channel advances that
// place. A processor cannot predict the decisions of gates.
int32_t* list_gated(const ListSegment& segment, const uint8_t* open, int32_t* next) {
  const int repeat = segment.repeat;
  int channel = segment.channel;
  for (int g = 0; g < segment.flags; ++g, channel += repeat) {
    for (int r = 0; r < repeat; ++r) next[r] = channel + r;
    next += open[g] * repeat;
  }
  return next;
}

int32_t* list_all(const ListSegment& segment, int32_t* next) {
  for (int i = 0; i < segment.flags; ++i) *next++ = segment.channel + i;
  return next;
}

}  // namespace

RunState::RunState(const Machine& machine, ThreadPool& p, const Plan& pl, size_t scratch_floats)
    : kernels(machine.kernels), pool(p), plan(pl), large_l1(machine.l1_bytes >= kNearFloats * sizeof(float)) {
  const size_t values = plan.program().values.size();
  for (const size_t size : plan.slots()) slots_.push_back(make_floats(size));
  for (int thread = 0; thread < plan.threads(); ++thread) scratch_.push_back(make_floats(scratch_floats));
  views.resize(values);
  flags.resize(values);
  present.assign(values, 0);
  for (size_t v = 0; v < values; ++v) {
    const int index = static_cast<int>(v), slot = plan.slot_of(index);
    if (plan.value(index).is_gate) flags[v].assign(plan.value(index).channels(), 0);
    if (slot != -1) views[v] = plan.view_in(index, slots_[slot].get());
  }
  for (const OpenListSpec& list : plan.lists()) {
    lists_.emplace_back();
    lists_.back().channels.assign(list.channels + kReadable, 0);
    lists_.back().blocks.assign(blocks_of(list.channels) + kReadable, 0);
  }
  all_channels_.assign(plan.most_channels() + kReadable, 0);
  all_blocks_.assign(blocks_of(plan.most_channels()) + kReadable, 0);
  for (int c = 0; c < plan.most_channels(); ++c) all_channels_[c] = c;
  for (int b = 0; b < blocks_of(plan.most_channels()); ++b) all_blocks_[b] = b;
}

OpenList RunState::open(int value) const {
  const int list = plan.list_of(value);
  if (list == -1) return {all_channels_.data(), plan.value(value).channels(), all_blocks_.data()};
  return {lists_[list].channels.data(), lists_[list].count, lists_[list].blocks.data()};
}

void RunState::set_flags(int gate, const float* logits, float own_threshold, int keep_open) {
  const float cut = threshold_given ? threshold : own_threshold;
  uint8_t* open = flags[gate].data();
  std::transform(logits, logits + flags[gate].size(), open, [cut](float logit) { return logit > cut; });
  std::fill_n(open, keep_open, uint8_t{1});
  for (const int list : plan.lists_after(gate)) list_open(list);
}

void RunState::set_flags(int gate, const std::vector<uint8_t>& flag) {
  std::transform(flag.begin(), flag.end(), flags[gate].begin(), [](uint8_t open) { return open != 0; });
  for (const int list : plan.lists_after(gate)) list_open(list);
}

// Where it closes all channels of a list, that is empty already.
void RunState::leave_closed(int gate) {
  for (const int list : plan.lists_after(gate))
    if (!plan.lists()[list].closes_alone) list_open(list);
}

void RunState::list_open(int index) {
  List& list = lists_[index];
  int32_t *const channels = list.channels.data(), *next = channels;
  for (const ListSegment& segment : plan.lists()[index].segments)
    next = segment.gate == -1 ? list_all(segment, next)
                              : list_gated(segment, flags[segment.gate].data() + segment.first, next);
  list.count = static_cast<int>(next - channels);
  std::fill_n(next, kReadable, 0);
  for (int b = 0; b < blocks_of(list.count); ++b) list.blocks[b] = channels[b * kLanes] / kLanes;
}

void RunState::close_all() {
  for (std::vector<uint8_t>& flag : flags) std::fill(flag.begin(), flag.end(), uint8_t{0});
  for (List& list : lists_) list.count = 0;
  std::fill(present.begin(), present.end(), char{0});
  present[plan.program().input] = 1;
  macs = 0;
  ended = false;
  exit = -1;
}

}  // namespace sluice
