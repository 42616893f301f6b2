// Channels and pixels in memory: blocks of 16 lanes, with the open channels side by side. For an ungated value an op
// writes whole blocks, with zeros in the lanes past the last channel. The inner-product kernel multiplies these lanes
// by zero weights, and a NaN of an earlier image there would reach the result. For a gated value no kernel reads these
// lanes.
#pragma once

#include <array>
#include <vector>

#include "run_state.h"

namespace sluice {

inline float* row_of(const View& view, int block, int y) { return view.data + block * view.block + y * view.row; }
inline float* lane_of(const View& view, int entry, int y) { return row_of(view, entry / kLanes, y) + entry % kLanes; }

void clear(RunState& state, const View& view, int blocks);

// Zeros in the lanes past `count` stored channels, of the last block.
void clear_rest(const View& view, int count);

// The output [C, H, W] or [F] of a run, unpacked from lanes.
void unpack(const View& view, int channels, float* out);

// The entries of an ascending list that lie in [low, high).
struct Range {
  int begin, count;
};
Range entries_between(const OpenList& list, int low, int high);

// The open outputs in a block. Lanes past the last one repeat it: nothing reads them.
std::array<int, kLanes> lanes_of(const OpenList& open, int block);

// One number a channel, zeros to the end of its last block: the bias, 0 where there is none; the weight, 1 likewise.
Floats padded_bias(const OpSpec& op, int channels);
Floats padded_weight(const OpSpec& op, int channels);

// One factor and one summand for each lane of a block; zero past the last stored channel, which so remains zero.
struct Lanes {
  alignas(64) float scale[kLanes] = {};
  alignas(64) float shift[kLanes] = {};
};
// out = in * scale + shift, in some rows of a block.
void scale_rows(RunState& state, const View& in, const View& out, int block, Span rows, const Lanes& lanes);

// Where a stored channel comes from: an entry of a value, or nothing, which is zero.
struct Source {
  int value = -1, entry = 0;
};

// Of each channel of a value its entry, -1 where it is not stored.
std::vector<int> entries_of(const RunState& state, int value);

// Row y of a block: of each lane its source, or zero; past `count` sources lanes are zero. `adds`: to what is there.
void gather_row(const RunState& state, const Source* sources, int count, int y, float* to, int width, bool adds);

// Writes the stored channels of `out`, each from its source, whose plane has as many pixels. Whole blocks are copied
// as they are.
void gather(RunState& state, const std::vector<Source>& sources, int out);

// The sources of `out` where its channel c is channel `channel(c)` of the value `in`, and zero where that is closed
// or -1.
template <class Channel>
std::vector<Source> sources_of(const RunState& state, int in, int out, const Channel& channel) {
  const std::vector<int> entries = entries_of(state, in);
  const OpenList open = state.open(out);
  std::vector<Source> sources(open.count);
  for (int i = 0; i < open.count; ++i) {
    const int from = channel(open.channels[i]);
    if (from != -1 && entries[from] != -1) sources[i] = {in, entries[from]};
  }
  return sources;
}

}  // namespace sluice
