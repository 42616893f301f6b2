// What benchmark.cpp calls a kernel with. Layers are those of ResNet-34, the 28 x 28 stage where nothing else is
// said.
#pragma once

#include <limits>
#include <numeric>
#include <vector>

#include "kernel_table.h"

namespace sluice {

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
inline const int32_t* in_order() {
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

}  // namespace sluice
