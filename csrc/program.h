// A program as the engine is given it: the Python side's Program with names resolved to indices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice {

// In the order of the names in the Python package's spec.
enum class OpKind {
  conv,
  linear,
  max_pool,
  avg_pool,
  global_pool,
  add,
  concat,
  activation,
  resize,
  subsample,
  flatten,
  select,
  lstm,
  slice,
  gate,
  exit,
  constant,
  scale
};
constexpr int kOpKinds = 18;

enum class Activation { none, relu, relu6, silu, hardswish, sigmoid };
constexpr int kActivations = 6;

struct TensorSpec {
  const float* data = nullptr;  // borrowed until the engine is built
  std::vector<int64_t> shape;
};

struct ValueSpec {
  bool is_gate = false;
  std::vector<int> shape;  // (C, H, W), (F,) or, of a gate, (G,)
  int gate = -1;           // index of the value whose flags close channels of this one

  bool is_plane() const { return shape.size() == 3; }
  int channels() const { return shape[0]; }
  int height() const { return is_plane() ? shape[1] : 1; }
  int width() const { return is_plane() ? shape[2] : 1; }
};

struct OpSpec {
  std::string name;
  OpKind kind{};
  std::vector<int> inputs;
  int output = -1;
  int when = -1;  // gate of one flag that must be open, or -1
  std::map<std::string, int> attributes;
  float threshold = 0.0f;
  TensorSpec weight, bias;
};

struct ProgramSpec {
  std::vector<ValueSpec> values;
  std::vector<OpSpec> ops;
  int input = -1, output = -1;
};

// Throws std::invalid_argument, one line, unless every index and shape is as the engine relies on. The Python
// side has checked the same; this is what stands between a mistake there and memory that is not ours.
void check_program(const ProgramSpec& program);

// An attribute of an op; std::invalid_argument if it is missing.
int attribute(const OpSpec& op, const char* name);

}  // namespace sluice
