// A case: a program and how to run it, as the bytes that libFuzzer changes. Any bytes are a case; what is missing at
// their end is zero. tests/runtime/fuzz_cases.py reads and writes the same.
//
//     case     threads and ways, threshold, images (a byte each), values, ops, input, outputs
//     value    1 of a gate, sides, runs [gate, first, count, repeat]
//     op       kind, inputs, output, when, unless, attributes [name, type, content], weight, bias
//     tensor   sides + 1, or 0 where there is none, and what its numbers are drawn from (a byte)
//     list     how many (a byte), then each
//     text     its place in words.inc (a byte)
//     number   a byte below 240; else the byte says how it goes on, or is one of the odd ones
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "../program.h"

namespace sluice {

// A case that needs more memory or time than a thousand others.
struct TooLarge final : std::exception {};

constexpr int64_t kMostTensorFloats = 1 << 16;
constexpr uint8_t kWholeNumbers = 223;  // what is drawn from this byte is -1 or 0: numbers of channels
constexpr uint8_t kOddNumbers = 224;    // what is drawn from such a byte or a higher one has NaN and the like in it

struct Case {
  uint8_t ways, threshold, images;
  ProgramSpec program;
  struct Draws {
    uint8_t weight, bias;
  };
  std::vector<Draws> draws;                      // per op
  std::vector<std::unique_ptr<float[]>> memory;  // of its tensors, each by itself

  int threads() const { return ways % 4 == 3 ? 3 : 1; }  // they take long to start
  bool all_candidates() const { return (ways & 4) != 0; }
  bool winograd() const { return (ways & 8) == 0; }
  int isa() const { return ways >> 4 & 3; }
  bool large_l1() const { return (ways & 64) != 0; }
  bool profiled() const { return (ways & 128) != 0; }
  int count() const { return images % 3; }
};

// std::invalid_argument where an op is of no kind; TooLarge.
Case read_case(const uint8_t* data, size_t size);
std::vector<uint8_t> write_case(const Case& c);

std::unique_ptr<float[]> drawn(size_t count, uint8_t from);

}  // namespace sluice
