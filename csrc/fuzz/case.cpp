#include "case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../ops/room.h"

namespace sluice {
namespace {

constexpr const char* kWords[] = {
#define SLUICE_WORD(word) #word,
#include "words.inc"
#undef SLUICE_WORD
};
constexpr size_t kWordCount = sizeof(kWords) / sizeof(kWords[0]);
static_assert(kWordCount <= 256);

constexpr int kPlain = 240;  // bytes from which on a number is told by more
enum : uint8_t { kNegative = kPlain, kTwoBytes, kFourBytes, kEightBytes, kOdd };
constexpr int64_t kOddOnes[256 - kOdd] = {-2147483648LL, 2147483647, 1 << 26,    1 << 20, 1 << 30, 65536,
                                          65535,         16384,      4294967296, 4096,    1024,    255};

class Reader final {
 public:
  Reader(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  uint8_t byte() { return at_ == end_ ? 0 : *at_++; }

  int64_t number() {
    const uint8_t first = byte();
    if (first < kPlain) return first;
    if (first == kNegative) return -1 - int64_t{byte()};
    if (first == kTwoBytes) return plain<uint16_t>();
    if (first == kFourBytes) return plain<int32_t>();
    if (first == kEightBytes) return plain<int64_t>();
    return kOddOnes[first - kOdd];
  }

  int index() {
    return static_cast<int>(
        std::clamp<int64_t>(number(), std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
  }

  std::vector<int> indices() {
    std::vector<int> list(byte());
    for (int& content : list) content = index();
    return list;
  }

  const char* word() { return kWords[byte() % kWordCount]; }

  Attribute attribute() {
    const int type = byte() % 3;
    if (type == 0) return number();
    if (type == 1) return static_cast<double>(plain<float>());
    return std::string(word());
  }

 private:
  template <class T>
  T plain() {
    uint8_t bytes[sizeof(T)];
    for (uint8_t& content : bytes) content = byte();
    T content;
    std::memcpy(&content, bytes, sizeof(T));
    return content;
  }

  const uint8_t *at_, *end_;
};

ValueSpec read_value(Reader& in) {
  ValueSpec value;
  value.is_gate = in.byte() % 2 == 1;
  value.shape = in.indices();
  for (int left = in.byte(); left > 0; --left) {
    const int gate = in.index(), first = in.index(), count = in.index();
    value.runs.push_back({gate, first, count, in.index()});
  }
  return value;
}

TensorSpec read_tensor(Reader& in, Case& c, uint8_t& from) {
  TensorSpec tensor;
  const int sides = in.byte();
  if (sides == 0) return tensor;
  int64_t floats = 1;
  for (int side = 1; side < sides; ++side) {
    tensor.shape.push_back(std::max<int64_t>(in.index(), 0));
    floats *= tensor.shape.back();
    if (floats > kMostTensorFloats) throw TooLarge();
  }
  from = in.byte();
  c.memory.push_back(drawn(static_cast<size_t>(floats), from));
  tensor.data = c.memory.back().get();
  return tensor;
}

OpSpec read_op(Reader& in, Case& c) {
  OpSpec op;
  op.name = std::to_string(c.program.ops.size());
  op.room = &room_of(in.word(), op.name);
  op.inputs = in.indices();
  op.output = in.index();
  op.when = in.indices();
  op.unless = in.indices();
  for (int left = in.byte(); left > 0; --left) {
    const std::string name = in.word();
    op.attributes[name] = in.attribute();
  }
  c.draws.emplace_back();
  op.weight = read_tensor(in, c, c.draws.back().weight);
  op.bias = read_tensor(in, c, c.draws.back().bias);
  return op;
}

class Writer final {
 public:
  std::vector<uint8_t> bytes;

  void number(int64_t content) {
    if (content >= 0 && content < kPlain) return void(bytes.push_back(static_cast<uint8_t>(content)));
    if (content < 0 && content >= -256) return tagged(kNegative, static_cast<uint8_t>(-1 - content));
    if (content >= 0 && content < 65536) return tagged(kTwoBytes, static_cast<uint16_t>(content));
    if (content == static_cast<int32_t>(content)) return tagged(kFourBytes, static_cast<int32_t>(content));
    tagged(kEightBytes, content);
  }

  template <class List>
  void numbers(const List& list) {
    bytes.push_back(static_cast<uint8_t>(list.size()));
    for (const auto content : list) number(content);
  }

  void word(const std::string& content) {
    const auto* found = std::find(kWords, kWords + kWordCount, content);
    bytes.push_back(static_cast<uint8_t>(found - kWords));
  }

  void attribute(const Attribute& content) {
    if (const auto* whole = std::get_if<int64_t>(&content)) {
      bytes.push_back(0);
      number(*whole);
    } else if (const auto* real = std::get_if<double>(&content)) {
      tagged(1, static_cast<float>(*real));
    } else {
      bytes.push_back(2);
      word(std::get<std::string>(content));
    }
  }

  void tensor(const TensorSpec& tensor, uint8_t from) {
    if (tensor.data == nullptr) return bytes.push_back(0);
    bytes.push_back(static_cast<uint8_t>(tensor.shape.size() + 1));
    for (const int64_t side : tensor.shape) number(side);
    bytes.push_back(from);
  }

 private:
  template <class T>
  void tagged(uint8_t tag, T content) {
    uint8_t plain[sizeof(T)];
    std::memcpy(plain, &content, sizeof(T));
    bytes.push_back(tag);
    bytes.insert(bytes.end(), plain, plain + sizeof(T));
  }
};

}  // namespace

Case read_case(const uint8_t* data, size_t size) {
  Reader in(data, size);
  Case c = {};
  c.ways = in.byte();
  c.threshold = in.byte();
  c.images = in.byte();
  for (int left = in.byte(); left > 0; --left) c.program.values.push_back(read_value(in));
  for (int left = in.byte(); left > 0; --left) c.program.ops.push_back(read_op(in, c));
  c.program.input = in.index();
  c.program.outputs = in.indices();
  return c;
}

std::vector<uint8_t> write_case(const Case& c) {
  Writer out;
  out.bytes = {c.ways, c.threshold, c.images, static_cast<uint8_t>(c.program.values.size())};
  for (const ValueSpec& value : c.program.values) {
    out.bytes.push_back(value.is_gate ? 1 : 0);
    out.numbers(value.shape);
    out.bytes.push_back(static_cast<uint8_t>(value.runs.size()));
    for (const ChannelRun& run : value.runs)
      for (const int content : {run.gate, run.first, run.count, run.repeat}) out.number(content);
  }
  out.bytes.push_back(static_cast<uint8_t>(c.program.ops.size()));
  for (size_t i = 0; i < c.program.ops.size(); ++i) {
    const OpSpec& op = c.program.ops[i];
    out.word(op.room->kind);
    out.numbers(op.inputs);
    out.number(op.output);
    out.numbers(op.when);
    out.numbers(op.unless);
    out.bytes.push_back(static_cast<uint8_t>(op.attributes.size()));
    for (const auto& [name, content] : op.attributes) {
      out.word(name);
      out.attribute(content);
    }
    out.tensor(op.weight, c.draws[i].weight);
    out.tensor(op.bias, c.draws[i].bias);
  }
  out.number(c.program.input);
  out.numbers(c.program.outputs);
  return out.bytes;
}

std::unique_ptr<float[]> drawn(size_t count, uint8_t from) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float odd[] = {inf, -inf, std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f, 1e-40f, -0.0f};
  auto floats = std::make_unique<float[]>(count);
  uint32_t state = from;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    const bool is_odd = from >= kOddNumbers && state >> 29 == 0;
    floats[i] = is_odd ? odd[(state >> 8) % 7] : static_cast<float>(state >> 8) / (1 << 23) - 1.0f;
    if (from == kWholeNumbers) floats[i] = std::floor(floats[i]);
  }
  return floats;
}

}  // namespace sluice
