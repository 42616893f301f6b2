#include "../planes.h"

#include <algorithm>

#include "../shares.h"

namespace sluice {
namespace {

constexpr float kZero = 0.0f;

// Sixteen channels that lie in a block as they are wanted.
bool is_block(const Source* sources, int count) {
  if (count < kLanes || sources[0].value == -1 || sources[0].entry % kLanes != 0) return false;
  for (int lane = 1; lane < kLanes; ++lane)
    if (sources[lane].value != sources[0].value || sources[lane].entry != sources[0].entry + lane) return false;
  return true;
}

}  // namespace

void clear(RunState& state, const View& view, int blocks) {
  for_rows(state, view, blocks,
           [&](int block, int y) { std::fill_n(row_of(view, block, y), view.width * kLanes, 0.0f); });
}

void clear_rest(const View& view, int count) {
  if (count % kLanes == 0) return;
  for (int y = 0; y < view.height; ++y) {
    float* row = row_of(view, count / kLanes, y);
    for (int x = 0; x < view.width; ++x) std::fill(row + x * kLanes + count % kLanes, row + (x + 1) * kLanes, 0.0f);
  }
}

void unpack(const View& view, int channels, float* out) {
  for (int c = 0; c < channels; ++c)
    for (int y = 0; y < view.height; ++y) {
      const float* in = view.data + (c / kLanes) * view.block + y * view.row + c % kLanes;
      for (int x = 0; x < view.width; ++x) *out++ = in[x * kLanes];
    }
}

Range entries_between(const OpenList& list, int low, int high) {
  const int32_t* end = list.channels + list.count;
  const int32_t* first = std::lower_bound(list.channels, end, low);
  return {static_cast<int>(first - list.channels), static_cast<int>(std::lower_bound(first, end, high) - first)};
}

std::array<int, kLanes> lanes_of(const OpenList& open, int block) {
  std::array<int, kLanes> channels;
  for (int lane = 0; lane < kLanes; ++lane)
    channels[lane] = open.channels[std::min(block * kLanes + lane, open.count - 1)];
  return channels;
}

Floats padded_bias(const OpSpec& op, int channels) {
  Floats bias = make_floats(static_cast<size_t>(blocks_of(channels)) * kLanes);
  if (op.bias.data != nullptr) std::copy_n(op.bias.data, channels, bias.get());
  return bias;
}

Floats padded_weight(const OpSpec& op, int channels) {
  Floats weight = make_floats(static_cast<size_t>(blocks_of(channels)) * kLanes);
  for (int c = 0; c < channels; ++c) weight[c] = op.weight.data == nullptr ? 1.0f : op.weight.data[c];
  return weight;
}

std::vector<int> entries_of(const RunState& state, int value) {
  const OpenList open = state.open(value);
  std::vector<int> entries(state.plan.value(value).channels(), -1);
  for (int i = 0; i < open.count; ++i) entries[open.channels[i]] = i;
  return entries;
}

void scale_rows(RunState& state, const View& in, const View& out, int block, Span rows, const Lanes& lanes) {
  for (int y = rows.begin; y < rows.end; ++y)
    state.kernels.scale_lanes({row_of(in, block, y), row_of(out, block, y), static_cast<size_t>(out.width) * kLanes,
                               lanes.scale, lanes.shift});
}

void gather_row(const RunState& state, const Source* sources, int count, int y, float* to, int width, bool adds) {
  if (is_block(sources, count)) {
    const float* from = lane_of(state.views[sources->value], sources->entry, y);
    const size_t floats = static_cast<size_t>(width) * kLanes;
    if (!adds) return void(std::copy_n(from, floats, to));
    return state.kernels.elementwise({to, from, to, floats, kNoClamp});
  }
  const float* from[kLanes];
  size_t step[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool stored = lane < count && sources[lane].value != -1;
    from[lane] = stored ? lane_of(state.views[sources[lane].value], sources[lane].entry, y) : &kZero;
    step[lane] = stored ? kLanes : 0;
  }
  for (int x = 0; x < width; ++x, to += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = from[lane][x * step[lane]];
      to[lane] = adds ? to[lane] + value : value;
    }
}

void gather(RunState& state, const std::vector<Source>& sources, int out) {
  const View& to = state.views[out];
  const int channels = static_cast<int>(sources.size());
  for_blocks(state, to, blocks_of(channels), [&](int block, Span rows) {
    const int first = block * kLanes;
    for (int y = rows.begin; y < rows.end; ++y)
      gather_row(state, &sources[first], channels - first, y, row_of(to, block, y), to.width, false);
  });
}

}  // namespace sluice
