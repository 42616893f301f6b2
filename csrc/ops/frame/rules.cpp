#include "../rules.h"

#include <algorithm>
#include <stdexcept>

namespace sluice {

void Rules::require(bool rule, const char* message) const {
  if (!rule) throw std::invalid_argument("op '" + op.name + "': " + message);
}

void Rules::reads(size_t least, size_t most) const {
  require(op.inputs.size() >= least && op.inputs.size() <= most, "reads a wrong number of values");
  for (const int input : op.inputs) require(!program_.values[input].is_gate, "reads a gate");
}

const ValueSpec& Rules::plane(int i) const {
  require(in(i).is_plane(), "reads what is no plane");
  return in(i);
}

const ValueSpec& Rules::vector(int i) const {
  require(!in(i).is_plane(), "reads what is no vector");
  return in(i);
}

const ValueSpec& Rules::out() const {
  require(op.output != -1 && !program_.values[op.output].is_gate, "must write a tensor");
  return program_.values[op.output];
}

void Rules::ends_program() const {
  require(program_.outputs.size() == 1, "ends a program of several outputs");
  require(in().shape == program_.values[program_.outputs[0]].shape, "ends with another shape than the program");
}

ChannelMap Rules::out_map() const {
  out();
  return maps_[op.output];
}

void Rules::same_map(int i) const { require(map(i) == out_map(), "changes which flags close its channels"); }

void Rules::no_map(int i) const { require(map(i).empty() && out_map().empty(), "reads or writes gated channels"); }

int Rules::between(int least, int most, const std::string& name) const {
  const int number = integer(op, name);
  if (number < least || number > most)
    throw std::invalid_argument("op '" + op.name + "': attribute " + name + " is out of range");
  return number;
}

int Rules::windows(int side, int64_t kernel, const char* axis, int dilation, int extra, bool ceil) const {
  const int stride = integer(op, along("stride", axis));
  const int padding = integer(op, along("padding", axis));
  require(stride >= 1 && stride <= kMaxStride && dilation >= 1 && kernel >= 1 && kernel <= kMaxSide,
          "window is out of range");
  const int64_t reach = (kernel - 1) * dilation + 1;
  const int64_t behind = int64_t{padding} + extra, whole = int64_t{side} + padding + behind;
  require(padding >= 0 && padding < reach && behind >= 0 && behind < reach && reach <= kMaxSide && whole >= reach,
          "window does not fit the plane");
  const int room = static_cast<int>(whole - reach);
  const int count = room / stride + 1;
  const bool hangs = ceil && room % stride != 0 && int64_t{count} * stride < side + padding;
  return hangs ? count + 1 : count;
}

void Rules::bias(int64_t channels) const {
  const bool none = op.bias.data == nullptr;
  require(none || (op.bias.shape.size() == 1 && op.bias.shape[0] == channels), "bias has another shape");
}

void Rules::weight(size_t rank) const {
  require(op.weight.data != nullptr && op.weight.shape.size() == rank, "needs a weight");
  for (const int64_t side : op.weight.shape) require(side >= 1 && side <= kMaxChannels, "weight is out of range");
}

void Rules::per_channel(const TensorSpec& tensor) const {
  const bool fits = tensor.shape.size() == 1 && tensor.shape[0] == in().channels();
  require(tensor.data == nullptr || fits, "weight or bias does not fit the channels");
}

Shape Rules::like_input() const {
  reads(1);
  same_map();
  return in().shape;
}

ChannelMap part_of(const ChannelMap& map, int first, int count) {
  if (map.empty()) return map;
  const ChannelMap part(map.begin() + first, map.begin() + first + count);
  const bool gated = std::any_of(part.begin(), part.end(), [](int64_t flag) { return flag != -1; });
  return gated ? part : ChannelMap{};
}

ChannelMap repeated(const ChannelMap& map, int repeat) {
  ChannelMap result;
  for (const int64_t flag : map) result.insert(result.end(), repeat, flag);
  return result;
}

}  // namespace sluice
