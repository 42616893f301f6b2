// Every kernel of every ISA that this machine runs, alone on one core: a line of JSON each, with the time of a call,
// multiply-adds and additions counted as GFLOP/s, and operands, each counted once, as GB/s. benchmarks/kernels.py
// makes a table of it.
//
// Rows of kernels.inc become calls: one whose struct has no Workload below does not compile. Layers are those of
// ResNet-34, the 28 x 28 stage where nothing else is said.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <numeric>
#include <vector>

#include "dispatch.h"

namespace sluice {
namespace {

constexpr double kSeconds = 0.02;  // that a measurement takes at least
constexpr int kRepeats = 5;        // of which the fastest counts: what disturbs a call only ever slows it
constexpr int kChannels = 128, kSide = 28, kBlocks = kChannels / kLanes, kTaps = 9, kTiles = 49, kPositions = 36;
constexpr Clamp kRelu = {0.0f, std::numeric_limits<float>::infinity()};

constexpr Window square(int taps, int stride) {
  Window window;
  window.height = window.width = taps;
  window.stride_y = window.stride_x = stride;
  window.pad_y = window.pad_x = taps / 2;
  return window;
}

// Floats on a cache line, none of them zero or subnormal.
class Buffer {
 public:
  explicit Buffer(size_t count) : memory_(count + 2 * kLanes) {
    for (size_t i = 0; i < memory_.size(); ++i) memory_[i] = 0.01f * static_cast<float>(1 + i % 7);
  }
  float* data() {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(float);
  }

 private:
  std::vector<float> memory_;
};

// Channel blocks with a border of one pixel.
class Plane {
 public:
  Plane(int blocks, int side) : side_(side), memory_(blocks * block()) {}
  View view() { return {memory_.data() + row() + kLanes, side_, side_, row(), block()}; }

 private:
  size_t row() const { return static_cast<size_t>(side_ + 2) * kLanes; }
  size_t block() const { return (side_ + 2) * row(); }
  int side_;
  Buffer memory_;
};

// 0, 1, 2, ...; as many as a list of channels must be readable.
const int32_t* in_order() {
  static const std::vector<int32_t> numbers = [] {
    std::vector<int32_t> list(kChannels + 64);
    std::iota(list.begin(), list.end(), 0);
    return list;
  }();
  return numbers.data();
}

// What a kernel is called with: `arguments`, the floating-point operations of a call and the floats that it touches.
template <class Arguments>
struct Workload;

template <>
struct Workload<OuterConv> {
  Plane in{kBlocks, kSide}, out{kBlocks, kSide};
  Buffer weights{kChannels * kChannels * kTaps}, bias{kChannels};
  OuterConv arguments = {};
  double flops = 2.0 * kChannels * kChannels * kTaps * kSide * kSide;
  double floats = kChannels * (2.0 * kSide * kSide + kChannels * kTaps);

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.window = square(3, 1);
    arguments.weights = weights.data();
    arguments.row_step = kChannels * kTaps;
    arguments.block_step = kTaps * kLanes;
    arguments.bias = bias.data();
    arguments.rows = in_order();
    arguments.in_count = kChannels;
    arguments.blocks = in_order();
    arguments.block_end = kBlocks;
    arguments.row_end = kSide;
    arguments.clamp = kRelu;
  }
};

template <>
struct Workload<InnerConv> {
  Plane in{kBlocks, kSide}, out{kBlocks, kSide};
  Buffer weights{kChannels * kChannels * kTaps}, bias{kChannels};
  InnerConv arguments = {};
  double flops = 2.0 * kChannels * kChannels * kTaps * kSide * kSide;
  double floats = kChannels * (2.0 * kSide * kSide + kChannels * kTaps);

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.window = square(3, 1);
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.list = in_order();
    arguments.in_blocks = kBlocks;
    arguments.end = kChannels;
    arguments.row_end = kSide;
    arguments.clamp = kRelu;
  }
};

// 7 x 7, stride 2, from 3 x 224 x 224 to 64 channels.
template <>
struct Workload<StemConv> {
  Buffer image{230 * 230 * 3}, weights{7 * 7 * 3 * 64}, bias{64};
  Plane out{4, 112};
  StemConv arguments = {};
  double flops = 2.0 * 7 * 7 * 3 * 64 * 112 * 112;
  double floats = 230 * 230 * 3 + 64 * 112 * 112 + 7 * 7 * 3 * 64;

  Workload() {
    arguments.image = image.data();
    arguments.image_row = 230 * 3;
    arguments.taps_y = 7;
    arguments.taps_x = 7 * 3;
    arguments.step_y = 2;
    arguments.step_x = 2 * 3;
    arguments.out = out.view();
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.block_end = 4;
    arguments.row_end = 112;
    arguments.clamp = kRelu;
  }
};

template <>
struct Workload<DepthwiseConv> {
  Plane in{kBlocks, kSide}, out{kBlocks, kSide};
  Buffer weights{kChannels * kTaps}, bias{kChannels};
  DepthwiseConv arguments = {};
  double flops = 2.0 * kChannels * kTaps * kSide * kSide;
  double floats = kChannels * (2.0 * kSide * kSide + kTaps);

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.window = square(3, 1);
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.block_end = kBlocks;
    arguments.row_end = kSide;
    arguments.clamp = kRelu;
  }
};

template <>
struct Workload<PackRows> {
  Buffer rows{kLanes * kChannels * kTaps}, out{(kChannels * kTaps + kLanes) * kLanes};
  PackRows arguments = {};
  double flops = 0, floats = 2.0 * kLanes * kChannels * kTaps;

  Workload() {
    for (int lane = 0; lane < kLanes; ++lane) {
      arguments.rows[lane] = rows.data() + lane * kChannels * kTaps;
      arguments.last[lane] = kChannels;
    }
    arguments.channels = in_order();
    arguments.count = kChannels;
    arguments.taps = kTaps;
    arguments.out = out.data();
  }
};

constexpr size_t kPitch = kChannels + kLanes,
                 kTilePlane = kTiles * kPitch;  // as ops/convolution/winograd.cpp has them

template <>
struct Workload<WinogradInput> {
  Plane in{kBlocks, kSide};
  Buffer out{kPositions * kTilePlane};
  WinogradInput arguments = {};
  double flops = 0;
  double floats = kChannels * (kSide * kSide + 1.0 * kPositions * kTiles);

  Workload() {
    arguments.in = in.view();
    arguments.blocks = kBlocks;
    arguments.tile_end = kTiles;
    arguments.tiles_x = 7;
    arguments.out = out.data();
    arguments.plane = kTilePlane;
    arguments.pitch = kPitch;
  }
};

template <>
struct Workload<WinogradWeights> {
  static constexpr int kPlane = (kChannels + 1) * kLanes;  // an odd number of cache lines, as the engine has it
  Buffer taps{kChannels * kTaps * kLanes}, out{kPositions * kPlane};
  WinogradWeights arguments = {};
  double flops = 0;
  double floats = 1.0 * kChannels * kLanes * (kTaps + kPositions);

  Workload() {
    arguments.taps = taps.data();
    arguments.rows = in_order();
    arguments.row_step = kTaps * kLanes;
    arguments.count = kChannels;
    arguments.out = out.data();
    arguments.plane = kPlane;
    arguments.pitch = kLanes;
  }
};

template <>
struct Workload<WinogradProduct> {
  Buffer in{kPositions * kTilePlane}, out{kPositions * kTilePlane}, weights{kPositions * kChannels * kChannels};
  WinogradProduct arguments = {};
  double flops = 2.0 * kPositions * kTiles * kChannels * kChannels;
  double floats = 1.0 * kPositions * kChannels * (2 * kTiles + kChannels);

  Workload() {
    arguments.in = in.data();
    arguments.in_plane = kTilePlane;
    arguments.in_pitch = kPitch;
    arguments.out = out.data();
    arguments.out_plane = kTilePlane;
    arguments.out_pitch = kPitch;
    arguments.tiles = kTiles;
    arguments.weights = weights.data();
    arguments.weights_plane = kChannels * kChannels;
    arguments.weights_pitch = kChannels;
    arguments.count = kChannels;
    arguments.blocks = kBlocks;
    arguments.first = true;
  }
};

template <>
struct Workload<WinogradOutput> {
  Buffer in{kPositions * kTilePlane}, bias{kChannels};
  Plane out{kBlocks, kSide};
  WinogradOutput arguments = {};
  double flops = 0;
  double floats = kChannels * (kSide * kSide + 1.0 * kPositions * kTiles);

  Workload() {
    arguments.in = in.data();
    arguments.plane = kTilePlane;
    arguments.pitch = kPitch;
    arguments.out = out.view();
    arguments.bias = bias.data();
    arguments.block_end = kBlocks;
    arguments.tile_end = kTiles;
    arguments.tiles_x = 7;
    arguments.clamp = kRelu;
  }
};

// A decoder's step up, 2 x 2 at stride 2.
template <>
struct Workload<TransposedConv> {
  Plane in{kBlocks, kSide}, out{kBlocks, 2 * kSide};
  Buffer weights{kChannels * kChannels * 4}, bias{kChannels};
  TransposedConv arguments = {in.view(), out.view(), {}, weights.data(), 4 * kLanes};
  double flops = 2.0 * kChannels * kChannels * 4 * kSide * kSide;
  double floats = kChannels * (5.0 * kSide * kSide + kChannels * 4);

  Workload() {
    arguments.window.height = arguments.window.width = arguments.window.stride_y = arguments.window.stride_x = 2;
    arguments.block_step = kChannels * 4 * kLanes;
    arguments.bias = bias.data();
    arguments.rows = in_order();
    arguments.in_count = kChannels;
    arguments.block_end = kBlocks;
    arguments.row_end = 2 * kSide;
    arguments.clamp = kRelu;
  }
};

// The classifier.
template <>
struct Workload<DotRows> {
  Buffer x{512}, weights{1000 * 512}, bias{1000}, out{1000};
  DotRows arguments = {};
  double flops = 2.0 * 1000 * 512;
  double floats = 1000.0 * 512;

  Workload() {
    arguments.x = x.data();
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.out = out.data();
    arguments.in_blocks = 512 / kLanes;
    arguments.end = 1000;
    arguments.clamp = kRelu;
  }
};

// 3 x 3, stride 2, from 112 x 112.
template <>
struct Workload<Pool> {
  Plane in{4, 112}, out{4, 56};
  Pool arguments = {};
  double flops = 0;
  double floats = 64.0 * (112 * 112 + 56 * 56);

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.window = square(3, 2);
    arguments.maximum = true;
    arguments.block_end = 4;
    arguments.row_end = 56;
  }
};

// To 7 x 7.
template <>
struct Workload<AreaPool> {
  Plane in{kBlocks, kSide}, out{kBlocks, 7};
  std::vector<Span> areas = {{0, 4}, {4, 8}, {8, 12}, {12, 16}, {16, 20}, {20, 24}, {24, 28}};
  AreaPool arguments = {};
  double flops = 0;
  double floats = kChannels * (kSide * kSide + 49.0);

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.rows = areas.data();
    arguments.columns = areas.data();
    arguments.block_end = kBlocks;
    arguments.row_end = 7;
  }
};

template <>
struct Workload<GlobalPool> {
  Plane in{kBlocks, kSide};
  Buffer out{kChannels};
  GlobalPool arguments = {in.view(), out.data(), 0, kBlocks};
  double flops = 0, floats = kChannels * kSide * kSide;
};

template <>
struct Workload<ChannelPool> {
  Plane in{kBlocks, kSide}, out{1, kSide};
  ChannelPool arguments = {};
  double flops = 0;
  double floats = (kChannels + kLanes) * kSide * kSide;

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.stored = kChannels;
    arguments.channels = kChannels;
    arguments.row_end = kSide;
  }
};

template <>
struct Workload<LayerNorm> {
  Plane in{kBlocks, kSide}, out{kBlocks, kSide};
  Buffer weight{kChannels}, bias{kChannels};
  LayerNorm arguments = {};
  double flops = 0;
  double floats = 2.0 * kChannels * kSide * kSide;

  Workload() {
    arguments.in = in.view();
    arguments.out = out.view();
    arguments.channels = kChannels;
    arguments.weight = weight.data();
    arguments.bias = bias.data();
    arguments.epsilon = 1e-5f;
    arguments.row_end = kSide;
  }
};

template <>
struct Workload<Squares> {
  Plane in{kBlocks, kSide};
  Buffer centre{kChannels}, out{kChannels};
  Squares arguments = {in.view(), centre.data(), out.data(), 0, kBlocks};
  double flops = 0, floats = kChannels * kSide * kSide;
};

constexpr size_t kValues = kChannels * kSide * kSide;

template <>
struct Workload<Elementwise> {
  Buffer x{kValues}, y{kValues}, out{kValues};
  Elementwise arguments = {x.data(), y.data(), out.data(), kValues, kRelu};
  double flops = 0, floats = 3.0 * kValues;
};

// In place, again and again: the sigmoid's values stay away from zero.
template <>
struct Workload<CurveRun> {
  Buffer x{kValues};
  CurveRun arguments = {x.data(), kValues, Curve::sigmoid};
  double flops = 0, floats = 2.0 * kValues;
};

template <>
struct Workload<ScaleLanes> {
  Buffer x{kValues}, out{kValues}, scale{kLanes}, shift{kLanes};
  ScaleLanes arguments = {x.data(), out.data(), kValues, scale.data(), shift.data()};
  double flops = 0, floats = 2.0 * kValues;
};

template <>
struct Workload<ScalePixels> {
  Buffer x{kValues}, factors{kValues}, out{kValues};
  ScalePixels arguments = {x.data(), factors.data(), out.data(), kValues};
  double flops = 0, floats = 3.0 * kValues;
};

template <>
struct Workload<Product> {
  Buffer x{kValues}, y{kValues}, out{kValues};
  Product arguments = {x.data(), y.data(), out.data(), kValues};
  double flops = 0, floats = 3.0 * kValues;
};

template <>
struct Workload<BendLanes> {
  Buffer x{kValues}, out{kValues}, slope{kLanes};
  BendLanes arguments = {x.data(), out.data(), kValues, slope.data()};
  double flops = 0, floats = 2.0 * kValues;
};

// A row of twice as many pixels.
template <>
struct Workload<Blend> {
  static constexpr int kWidth = 1024;
  Buffer upper{kWidth * kLanes}, lower{kWidth * kLanes}, out{2 * kWidth * kLanes}, share{2 * kWidth};
  std::vector<int32_t> left, right;
  Blend arguments = {};
  double flops = 0, floats = 4.0 * kWidth * kLanes;

  Workload() {
    for (int x = 0; x < 2 * kWidth; ++x) left.push_back(x / 2), right.push_back(std::min(x / 2 + 1, kWidth - 1));
    arguments.upper = upper.data();
    arguments.lower = lower.data();
    arguments.out = out.data();
    arguments.left = left.data();
    arguments.right = right.data();
    arguments.right_share = share.data();
    arguments.lower_share = 0.25f;
    arguments.width = 2 * kWidth;
  }
};

template <class Arguments>
double seconds_of(void (*kernel)(const Arguments&), const Arguments& arguments, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int call = 0; call < calls; ++call) kernel(arguments);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Arguments>
void report(const char* isa, const char* name, void (*kernel)(const Arguments&)) {
  Workload<Arguments> work;
  int calls = 1;
  while (seconds_of(kernel, work.arguments, calls) < kSeconds) calls *= 2;
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < kRepeats; ++repeat)
    best = std::min(best, seconds_of(kernel, work.arguments, calls) / calls);
  std::printf(R"({"isa": "%s", "kernel": "%s", "microseconds": %.3f, "gflops": %.2f, "gigabytes": %.2f})"
              "\n",
              isa, name, 1e6 * best, 1e-9 * work.flops / best, 1e-9 * sizeof(float) * work.floats / best);
}

}  // namespace
}  // namespace sluice

int main() {
  for (const sluice::KernelTable* kernels : sluice::available_kernels()) {
#define SLUICE_KERNEL(kernel, Arguments) sluice::report<sluice::Arguments>(kernels->name, #kernel, kernels->kernel);
#include "kernels.inc"
#undef SLUICE_KERNEL
  }
}
