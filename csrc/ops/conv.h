// A convolution is one operator with a choice of algorithms: which one runs depends on what its gates leave
// open.
#pragma once

#include <array>

#include "operator.h"

namespace sluice {

// One execution: what is stored of the input, what is wanted of the output.
struct ConvCall {
  View in, out;
  const float* residual;  // as `out`, or null
  OpenList open_in, open_out;
  const int32_t* in_order;  // 0, 1, 2, ...: weight rows that were packed in the order of the stored channels
  Clamp clamp;
  Prefetch meanwhile;  // what small ops behind it will read on thread 0; Outer and Winograd stand before most of them
};

// An algorithm of which one thread can compute a few rows at a time; see strips.cpp.
class RowWiseConv {
 public:
  virtual ~RowWiseConv() = default;
  virtual void run_rows(Run& run, const ConvCall& call, Span rows, int thread) const = 0;
};

class ConvAlgorithm {
 public:
  virtual ~ConvAlgorithm() = default;
  virtual void run(Run& run, const ConvCall& call) const = 0;
  virtual const RowWiseConv* row_wise() const { return nullptr; }
  virtual size_t scratch_floats() const { return 0; }  // per thread
};

using ConvAlgorithmPtr = std::unique_ptr<ConvAlgorithm>;

ConvAlgorithmPtr make_outer(const OpSpec& op);                        // any input, all or whole blocks of outputs
ConvAlgorithmPtr make_grouped(const OpSpec& op);                      // any input, all outputs
ConvAlgorithmPtr make_inner(const OpSpec& op);                        // all inputs, any outputs
ConvAlgorithmPtr make_packed(const Plan& plan, const OpSpec& op);     // anything
ConvAlgorithmPtr make_depthwise(const Plan& plan, const OpSpec& op);  // the same channels in and out
ConvAlgorithmPtr make_stem(const Plan& plan, const OpSpec& op);       // the image itself
ConvAlgorithmPtr make_winograd(const Plan& plan, const OpSpec& op);   // 3x3 at stride 1

// [O, C / groups, kh, kw], and what follows from it.
struct ConvWeights {
  explicit ConvWeights(const OpSpec& op);
  const float* data;
  int out, per_group, taps, groups;
  int in() const { return per_group * groups; }
  int out_per_group() const { return out / groups; }
  int first_in(int channel) const { return channel / out_per_group() * per_group; }  // that an output channel reads
  const float* row(int channel) const { return data + static_cast<size_t>(channel) * per_group * taps; }
};

constexpr int kTileBlocks = 3;  // the most that any ISA's tile has

// The entries of an ascending list that lie in [low, high).
struct Range {
  int begin, count;
};
Range entries_between(const OpenList& list, int low, int high);

// The open outputs in a block. Lanes past the last one repeat it: nothing reads them.
std::array<int, kLanes> lanes_of(const OpenList& open, int block);

Floats padded_bias(const OpSpec& op);  // to whole blocks, zeros where there is none

// Rows from which on a plane is cut by rows, not by units of output.
constexpr int kLargePlane = 28;
constexpr int many_rows(int taps) { return taps == 1 ? kLargePlane / 2 : kLargePlane; }

// How the output of a convolution is cut into chunks for the threads. Large planes are cut by rows, since all threads
// then walk the same weights at the same time; small ones by units of output (blocks or channels), since a chunk of
// few rows would stream all weights for little work. A single tap reads much input for few weights: it is cut by rows
// down to 14, and a large plane finer, so that what a chunk reads stays in L2 while all groups of outputs go by.
struct Shares {
  int chunks;
  bool by_rows;
  int rows, units;

  Shares(int threads, int rows, int units, int units_per_tile, int taps);
  Span rows_of(int chunk) const { return by_rows ? share_of(rows, chunk, chunks) : Span{0, rows}; }
  Span units_of(int chunk) const { return by_rows ? Span{0, units} : share_of(units, chunk, chunks); }
};

}  // namespace sluice
