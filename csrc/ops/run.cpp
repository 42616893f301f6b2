#include <algorithm>
#include <limits>

#include "operator.h"

namespace sluice {
namespace {

constexpr int kReadable = 64;  // entries past the end of a list that kernels may read while they prefetch

}  // namespace

Run::Run(const Machine& machine, ThreadPool& p, const Plan& pl, size_t scratch_floats)
    : kernels(machine.kernels), pool(p), plan(pl), large_l1(machine.l1_bytes >= kNearFloats * sizeof(float)) {
  const size_t values = plan.program().values.size();
  for (const size_t size : plan.slots()) slots_.push_back(make_floats(size));
  for (int thread = 0; thread < pool.threads(); ++thread) scratch_.push_back(make_floats(scratch_floats));
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

OpenList Run::open(int value) const {
  const int list = plan.list_of(value);
  if (list == -1) return {all_channels_.data(), plan.value(value).channels(), all_blocks_.data()};
  return {lists_[list].channels.data(), lists_[list].count, lists_[list].blocks.data()};
}

void Run::set_flags(int gate, const float* logits, float own_threshold) {
  const float cut = threshold_given ? threshold : own_threshold;
  std::transform(logits, logits + flags[gate].size(), flags[gate].data(), [cut](float logit) { return logit > cut; });
  list_open(gate);
}

void Run::set_flags(int gate, const std::vector<uint8_t>& flag) {
  std::transform(flag.begin(), flag.end(), flags[gate].begin(), [](uint8_t open) { return open != 0; });
  list_open(gate);
}

// Every channel is written where the next open one belongs, which only an open one moves on: gates are as hard to
// predict for a processor's branches as for anybody else.
void Run::list_open(int gate) {
  for (size_t i = 0; i < lists_.size(); ++i) {
    const OpenListSpec& spec = plan.lists()[i];
    if (spec.gate != gate) continue;
    List& list = lists_[i];
    const int gates = static_cast<int>(flags[gate].size()), repeat = spec.repeat;
    const uint8_t* open = flags[gate].data();  // by itself: else the compiler reads all anew after each store
    int32_t *const channels = list.channels.data(), *next = channels;
    for (int g = 0; g < gates; ++g) {
      for (int r = 0; r < repeat; ++r) next[r] = g * repeat + r;
      next += open[g] * repeat;
    }
    list.count = static_cast<int>(next - channels);
    std::fill_n(next, kReadable, 0);
    for (int b = 0; b < blocks_of(list.count); ++b) list.blocks[b] = channels[b * kLanes] / kLanes;
  }
}

void Run::close_all() {
  for (std::vector<uint8_t>& flag : flags) std::fill(flag.begin(), flag.end(), uint8_t{0});
  for (List& list : lists_) list.count = 0;
  std::fill(present.begin(), present.end(), char{0});
  present[plan.program().input] = 1;
  macs = 0;
  ended = false;
  exit = -1;
}

Applied applied(Activation activation) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  switch (activation) {
    case Activation::relu: return {{0.0f, infinity}, false, {}};
    case Activation::relu6: return {{0.0f, 6.0f}, false, {}};
    case Activation::silu: return {{-infinity, infinity}, true, Curve::silu};
    case Activation::hardswish: return {{-infinity, infinity}, true, Curve::hardswish};
    case Activation::sigmoid: return {{-infinity, infinity}, true, Curve::sigmoid};
    case Activation::none: break;
  }
  return {{-infinity, infinity}, false, {}};
}

void apply_curve(Run& run, const Applied& activation, const View& view, int blocks) {
  if (!activation.curved) return;
  run.pool.run(blocks, [&](int block, int) {
    for (int y = 0; y < view.height; ++y)
      run.kernels.curve({view.data + block * view.block + y * view.row, static_cast<size_t>(view.width) * kLanes,
                         activation.curve});
  });
}

void unpack(const View& view, int channels, float* out) {
  for (int c = 0; c < channels; ++c)
    for (int y = 0; y < view.height; ++y) {
      const float* in = view.data + (c / kLanes) * view.block + y * view.row + c % kLanes;
      for (int x = 0; x < view.width; ++x) *out++ = in[x * kLanes];
    }
}

}  // namespace sluice
