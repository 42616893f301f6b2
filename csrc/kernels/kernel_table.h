// What a kernel sees: plain structs of pointers and sizes, and the table through which an ISA offers its
// kernels.
//
// One activation layout serves all kernels, NCHW16c: channels in blocks of 16 lanes, a block is a plane of
// pixels, a pixel is 16 floats, 64 bytes, one cache line and one AVX-512 register. A plane has a border of
// zeros, as wide as the widest padding of its readers, so that a convolution may read any tap; where it asks whether
// one lies inside, that is to leave out work.
//
// This header is all that the files compiled with ISA flags may include beside C headers and intrinsics:
// anything inline from the standard library would be emitted with those flags and could be linked into the
// baseline.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sluice {

constexpr int kLanes = 16;

inline constexpr int blocks_of(int channels) { return (channels + kLanes - 1) / kLanes; }

struct Span {
  int begin, end;
};

struct View {
  float* data;  // lane 0 of pixel (0, 0) of block 0; the border lies before and after
  int height, width;
  size_t row;    // floats from one row of pixels to the next
  size_t block;  // floats from one channel block to the next
};

struct Window {
  int height = 1, width = 1;  // taps
  int stride_y = 1, stride_x = 1;
  int pad_y = 0, pad_x = 0;      // zeros above and left of the plane
  int extra_y = 0, extra_x = 0;  // so many more, or fewer, below and right of it
  int dilation_y = 1, dilation_x = 1;
};

// Activations that are a clamp are part of the store: y = min(max(y, low), high).
struct Clamp {
  float low, high;
};
constexpr Clamp kNoClamp = {-__builtin_inff(), __builtin_inff()};

// The others; leaky_relu and elu have a parameter, alpha.
enum class Curve : int32_t {
  silu,
  hardswish,
  sigmoid,
  hardsigmoid,
  tanh,
  gelu,
  gelu_tanh,
  mish,
  softplus,
  leaky_relu,
  elu,
  exponential
};

// What its caller will read next: a kernel with little to wait for fetches it meanwhile into L2, so many cache lines
// from each row on.
struct Prefetch {
  const float* const* rows = nullptr;
  int count = 0, lines = 0;
};

// In planes of few pixels convolutions can go by in passes whose weights and pixels, so many floats, stay in L1. Sums
// wait in memory between passes: where L1 is smaller that costs more than to read all from L2.
constexpr size_t kNearFloats = 10 * 1024;

// Outer product: a vector holds 16 output channels and meets one input pixel, broadcast. Walks a list of
// input channels, so a closed input channel costs nothing.
struct OuterConv {
  View in, out;
  const float* residual;  // as `out`, and may be the same memory; null for none
  Window window;
  const float* weights;         // 16 output channels each: weights[row * row_step + block * block_step + tap * 16]
  size_t row_step, block_step;  // of a single tap, a row is 16 floats behind the one before
  const float* bias;            // [block][16]
  const int32_t* rows;          // weight row of the i-th stored input channel; readable 64 past the end
  int32_t first_row;            // the row that lies at `weights`
  int in_begin, in_count;       // stored input channels
  const int32_t* blocks;        // weight block of the j-th stored output block
  int block_begin, block_end, row_begin, row_end;  // this call's share of the output
  Clamp clamp;
  Prefetch next = {};
  bool large_l1 = false;           // L1 has room for kNearFloats
  bool first = true, last = true;  // else its sums begin with what lies in `out`, or are left to be added to
};

// Inner product: a vector holds 16 input channels and is summed at the end. Walks a list of output channels,
// whose results it writes side by side, so a closed output channel costs nothing.
struct InnerConv {
  View in, out;
  Window window;
  const float* weights;  // [channel][in_blocks][tap][16]
  const float* bias;     // [channel]
  const int32_t* list;   // open output channels
  int in_blocks;
  int begin, end, row_begin, row_end;  // this call's share: entries of the list, rows of the output
  Clamp clamp;
  bool large_l1 = false;  // as OuterConv's
};

// The first layer: few input channels, so pixels are stored without lanes, [y][x][channel], with their
// padding.
struct StemConv {
  const float* image;
  size_t image_row;  // floats
  int taps_y, taps_x, step_y,
      step_x;  // taps_x = kernel width * channels; step_x = stride * channels, in floats
  View out;
  const float* weights;  // [block][tap][16]
  const float* bias;
  int block_begin, block_end, row_begin, row_end;
  Clamp clamp;
};

// Each channel by itself; weights and bias stand in the order of the stored channels.
struct DepthwiseConv {
  View in, out;
  Window window;
  const float* weights;  // [block][tap][16]
  const float* bias;
  int block_begin, block_end, row_begin, row_end;
  Clamp clamp;
};

// 16 rows of a weight matrix, [row][channel][tap], become one block [channel][tap][16] for OuterConv. Up to 16 floats
// past a row are read, and up to 15 * 16 past the block are written.
struct PackRows {
  const float* rows[kLanes];
  int first[kLanes], last[kLanes];  // the channels that the row has
  const int32_t* channels;          // the channels wanted; lanes that lack one become zero
  int count, taps;
  float* out;  // [count][taps][16]
};

// Winograd F(4x4, 3x3); see templates/winograd.inc.
struct WinogradInput {
  View in;
  int blocks;  // channel blocks to transform
  int tile_begin, tile_end, tiles_x;
  float* out;           // [36][tile][pitch]
  size_t plane, pitch;  // floats per position xi, per tile
  Prefetch next = {};
};

// Weights g of 16 output channels each become u = G g G^T on their way from memory, where they take a quarter of the
// room: [i][9][16] to [36][i][16].
struct WinogradWeights {
  const float* taps;  // of the i-th stored input channel: taps + rows[i] * row_step
  const int32_t* rows;
  size_t row_step;
  int count;
  float* out;
  size_t plane = 0, pitch = 0;  // floats per position xi, per input channel
};

struct WinogradProduct {
  const float* in;  // as WinogradInput::out
  size_t in_plane, in_pitch;
  float* out;  // as `in`
  size_t out_plane, out_pitch;
  int tiles;
  const float* weights;  // as WinogradWeights::out, blocks side by side
  size_t weights_plane, weights_pitch;
  int count;   // stored input channels
  int blocks;  // of output
  bool first;  // else what lies in `out` is added to
  Prefetch next = {};
};

struct WinogradOutput {
  const float* in;
  size_t plane, pitch;
  View out;
  const float* residual;  // as `out`, or null
  const float* bias;      // [stored block][16]
  int block_begin, block_end;
  int tile_begin, tile_end, tiles_x;
  Clamp clamp;
};

// The transpose of a convolution: an output pixel sums the input pixels that a convolution of this window would read
// for it. Reads over the plane's left and right end, not over its upper and lower one.
struct TransposedConv {
  View in, out;
  Window window;
  const float* weights;  // as OuterConv's
  size_t row_step = 0, block_step = 0;
  const float* bias = nullptr;    // [block][16]
  const int32_t* rows = nullptr;  // weight row of the i-th stored input channel
  int32_t first_row = 0;
  int in_begin = 0, in_count = 0;
  int block_begin = 0, block_end = 0, row_begin = 0, row_end = 0;
  Clamp clamp = kNoClamp;
};

struct DotRows {
  const float* x;        // [in], padded with zeros to blocks of 16
  const float* weights;  // [out][in_blocks * 16]
  const float* bias;     // [out]
  float* out;
  int in_blocks = 0, begin = 0, end = 0;
  Clamp clamp = kNoClamp;
  const int32_t* list = nullptr;  // the j-th result is that of row list[j]; else of row j
};

struct Pool {
  View in, out;
  Window window;
  bool maximum, count_padding;
  int block_begin = 0, block_end = 0, row_begin = 0, row_end = 0;  // this call's share of the output
};

// Pools areas of any extent.
struct AreaPool {
  View in, out;
  const Span *rows, *columns;  // of the input, for each row and column of the output; never empty
  bool maximum;
  int block_begin = 0, block_end = 0, row_begin = 0, row_end = 0;
};

enum class PoolFunction : int32_t { mean, absolute_mean, maximum, sum };

struct GlobalPool {
  View in;
  float* out;  // [blocks * 16]
  int block_begin, block_end;
  PoolFunction function = PoolFunction::mean;  // no sum
};

// Over the stored channels at each pixel; to lane 0, the others become zero.
struct ChannelPool {
  View in, out;
  int stored, channels;   // channels that are not stored count as zeros
  PoolFunction function;  // no absolute mean
  int row_begin = 0, row_end = 0;
};

// (x - mean) / sqrt(variance + epsilon) * weight + bias over the channels at each pixel.
struct LayerNorm {
  View in, out;
  int channels;
  const float *weight, *bias;  // [blocks * 16], zeros past the last channel
  float epsilon = 0.0f;
  int row_begin = 0, row_end = 0;
};

// Means of (x - centre)^2 over a plane.
struct Squares {
  View in;
  const float* centre;  // [blocks * 16]
  float* out;           // as `centre`
  int block_begin, block_end;
};

struct Elementwise {
  const float* x;  // may be `out`
  const float* y;  // added if not null
  float* out;
  size_t count;  // floats, a multiple of 16
  Clamp clamp;
};

struct CurveRun {
  float* x;
  size_t count;  // floats, a multiple of 16
  Curve curve;
  float alpha = 0.0f;
};

// out = x * scale + shift, lane by lane. `x` may be `out`, here and below; `count` floats, a multiple of 16.
struct ScaleLanes {
  const float* x;
  float* out;
  size_t count;
  const float *scale, *shift;  // [16]
};

// Each pixel times the first lane of its factor.
struct ScalePixels {
  const float *x, *factors;
  float* out;
  size_t count;
};

struct Product {
  const float *x, *y;
  float* out;
  size_t count;
};

// Values below zero times the slope of their lane.
struct BendLanes {
  const float* x;
  float* out;
  size_t count;
  const float* slope;  // [16]
};

// A row of a bilinear resize.
struct Blend {
  const float *upper, *lower;  // rows of the input
  float* out;
  const int32_t *left, *right;  // of each pixel, columns of the input
  const float* right_share;
  float lower_share;
  int width;
};

struct KernelTable {
  const char* name;
#define SLUICE_KERNEL(kernel, Arguments) void (*kernel)(const Arguments&);
#include "kernels.inc"
#undef SLUICE_KERNEL
};

}  // namespace sluice
