// How the work of an op is cut into chunks for the threads.
#pragma once

#include "run_state.h"

namespace sluice {

// One of so many equal shares of a count; in 64 bits, since both may be large.
inline Span share_of(int count, int index, int shares) {
  return {static_cast<int>(int64_t{count} * index / shares), static_cast<int>(int64_t{count} * (index + 1) / shares)};
}

constexpr int kTileBlocks = 3;  // the most that any ISA's tile has

// Rows from which on a plane is cut by rows, not by units of output.
constexpr int kLargePlane = 28;
constexpr int many_rows(int taps) { return taps == 1 ? kLargePlane / 2 : kLargePlane; }

// Large planes are cut by rows, because then all threads use the same weights at the same time. Small planes are cut by
// units of output (blocks or channels), because a chunk of few rows would read all weights for little work. A
// convolution with a single tap reads much input for few weights: it is cut by rows down to 14 rows, and more finely
// on large planes, so that the input of a chunk stays in L2 for all groups of outputs.
struct Shares {
  int chunks;
  bool by_rows;
  int rows, units;

  Shares(int threads, int rows, int units, int units_per_tile, int taps);
  Span rows_of(int chunk) const { return by_rows ? share_of(rows, chunk, chunks) : Span{0, rows}; }
  Span units_of(int chunk) const { return by_rows ? Span{0, units} : share_of(units, chunk, chunks); }
};

// Waking a thread for less than some microseconds of reading costs more than it saves.
constexpr int kFewPixels = 2048;  // of 64 bytes

// Runs f(block, rows) over the first `blocks` blocks of a plane like `out`, cut as the convolutions around it are: a
// thread finds in its own cache what it wrote itself. f must not throw.
template <class F>
void for_blocks(RunState& state, const View& out, int blocks, const F& f) {
  const int threads = blocks * out.height * out.width < kFewPixels ? 1 : state.pool.threads();
  const Shares shares(threads, out.height, blocks, 1, 9);
  state.pool.run(shares.chunks, [&](int chunk, int) {
    const Span rows = shares.rows_of(chunk), units = shares.units_of(chunk);
    for (int block = units.begin; block < units.end; ++block) f(block, rows);
  });
}

// Runs f(block, y) over all rows of the first `blocks` blocks, a block to a chunk.
template <class F>
void for_rows(RunState& state, const View& view, int blocks, const F& f) {
  state.pool.run(blocks, [&](int block, int) {
    for (int y = 0; y < view.height; ++y) f(block, y);
  });
}

}  // namespace sluice
