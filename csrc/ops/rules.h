// The questions of a room when it checks an op. Every answer is safe to use; every refusal is one line.
#pragma once

#include <string>

#include "../program.h"
#include "room.h"

namespace sluice {

constexpr int kMaxChannels = 1 << 20, kMaxSide = 16384;
constexpr int kMaxStride = 4 * kMaxSide;  // a padded side is less than 3
constexpr size_t kMaxInputs = 4096;

class Rules final {
 public:
  // Inputs and output are written or -1, as check.cpp has seen; of which kind they are is asked here.
  Rules(const ProgramSpec& program, const ChannelMaps& maps, const OpSpec& op)
      : op(op), program_(program), maps_(maps) {}

  const OpSpec& op;

  void require(bool rule, const char* message) const;
  void reads(size_t least, size_t most) const;  // so many values, none of them a gate
  void reads(size_t count) const { reads(count, count); }

  const ValueSpec& in(int i = 0) const { return program_.values[op.inputs[i]]; }
  const ValueSpec& plane(int i = 0) const;  // an input that must be one
  const ValueSpec& vector(int i = 0) const;
  const ValueSpec& out() const;  // must be a tensor; its shape is not checked yet

  bool writes_gate() const { return op.output != -1 && program_.values[op.output].is_gate; }
  void ends_program() const;  // that its first input can be the only output

  ChannelMap map(int i = 0) const { return maps_[op.inputs[i]]; }
  ChannelMap out_map() const;
  void same_map(int i = 0) const;  // of this input and the output
  void no_map(int i = 0) const;    // nor of the output

  int at_least(int least, const std::string& name) const { return between(least, 1 << 30, name); }
  int between(int least, int most, const std::string& name) const;  // an attribute that must lie there
  bool flag(const std::string& name) const { return between(0, 1, name) != 0; }

  // How many windows fit along one side, `axis` "y" or "x". Reads the attributes stride and padding; `extra` is how
  // much more padding there is behind the plane than before it; `ceil` lets a last one hang over the end that starts
  // inside.
  int windows(int side, int64_t kernel, const char* axis, int dilation, int extra, bool ceil) const;

  Shape like_input() const;                          // for ops of one input that keep shape and map
  void weight(size_t rank) const;                    // that there is one, each side in 1..kMaxChannels
  void bias(int64_t channels) const;                 // that it has so many, if there is one
  void per_channel(const TensorSpec& tensor) const;  // that it has one number per input channel, if there is one
  int64_t weight_side(size_t i) const { return op.weight.shape[i]; }

 private:
  const ProgramSpec& program_;
  const ChannelMaps& maps_;
};

// The attribute that holds a pair's number along `axis`, "y" or "x".
inline std::string along(const char* name, const char* axis) { return std::string(name) + "_" + axis; }

// Of a map, `count` flags from `first` on; each of its flags `repeat` times. Empty where no channel is gated.
ChannelMap part_of(const ChannelMap& map, int first, int count);
ChannelMap repeated(const ChannelMap& map, int repeat);

}  // namespace sluice
