// What the kernels of convolutions are called with.
#pragma once

#include "workload.h"

namespace sluice {

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

}  // namespace sluice
