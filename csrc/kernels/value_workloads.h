// What the other kernels are called with.
#pragma once

#include <algorithm>

#include "workload.h"

namespace sluice {

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

}  // namespace sluice
