// A program as the engine is given it: the Python side's Program with names resolved to indices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice {

using Shape = std::vector<int>;  // (C, H, W), (F,) or, of a gate, (G,); without the batch

struct TensorSpec {
  const float* data = nullptr;  // borrowed until the engine is built
  std::vector<int64_t> shape;
};

// The next `count` channels of a value. The i-th of them is closed by flag first + i / repeat of a gate.
struct ChannelRun {
  int gate;  // index of its value, or -1: always open
  int first;
  int count;
  int repeat;
};

struct ValueSpec {
  bool is_gate = false;
  Shape shape;
  std::vector<ChannelRun> runs;  // its channel map; empty where no channel is gated

  bool is_plane() const { return shape.size() == 3; }
  int channels() const { return shape[0]; }
  int height() const { return is_plane() ? shape[1] : 1; }
  int width() const { return is_plane() ? shape[2] : 1; }
};

using Attribute = std::variant<int64_t, double, std::string>;

struct OpRoom;  // what its kind says of an op; see ops/room.h

struct OpSpec {
  std::string name;
  const OpRoom* room = nullptr;  // never null
  std::vector<int> inputs;
  int output = -1;
  std::vector<int> when, unless;  // gates of one flag: all of `when` must be open, all of `unless` closed
  std::map<std::string, Attribute> attributes;
  TensorSpec weight, bias;
};

struct ProgramSpec {
  std::vector<ValueSpec> values;
  std::vector<OpSpec> ops;
  int input = -1;
  std::vector<int> outputs;
};

// Throws std::invalid_argument, one line, unless every index and shape is what the engine relies on. The Python
// side has checked the same; this check prevents accesses out of bounds if that one has a mistake.
void check_program(const ProgramSpec& program);

// An attribute of an op: a whole number of 32 bits, a finite float32, a text. std::invalid_argument if it is missing
// or something else.
int integer(const OpSpec& op, const std::string& name);
float number(const OpSpec& op, const std::string& name);
const std::string& text(const OpSpec& op, const std::string& name);

// The channel map of a value, expanded: of each channel the flag that closes it, the flags of all gates numbered
// through in the order of the values; -1 where it is always open. Empty where no channel is gated, so that two
// spellings of one map are equal.
using ChannelMap = std::vector<int64_t>;
class ChannelMaps final {
 public:
  explicit ChannelMaps(const ProgramSpec& program);
  ChannelMap operator[](int value) const;
  std::pair<int, int> flag(int64_t number) const;  // its gate's value, and which of its flags; -1 of none

 private:
  const ProgramSpec& program_;
  std::vector<int64_t> first_flags_;  // per value
  std::vector<int> gates_;            // values, in their order
};

}  // namespace sluice
