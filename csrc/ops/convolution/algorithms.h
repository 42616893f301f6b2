// A convolution is one operator with a choice of algorithms: which one runs depends on what its gates leave
// open.
#pragma once

#include "../operator.h"
#include "../planes.h"
#include "../shares.h"
#include "../windows.h"

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
  virtual void run_rows(RunState& state, const ConvCall& call, Span rows, int thread) const = 0;
};

class ConvAlgorithm {
 public:
  virtual ~ConvAlgorithm() = default;
  virtual void run(RunState& state, const ConvCall& call) const = 0;
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

// True for a convolution that the stem kernel runs: few ungated input channels, ungated output.
bool is_stem(const ProgramSpec& program, const OpSpec& op);

// True for a convolution that Winograd F(4x4, 3x3) can compute.
bool is_winograd_shape(const OpSpec& op);

}  // namespace sluice
