// Changes a case as a program, not as bytes: an attribute, an input, a map, an op more. Hardly any program whose
// bytes were changed fits together; so shapes and maps are then made to follow from the ops, as far as their rooms
// allow. Half of the time bytes are changed all the same.
#include <algorithm>
#include <cstring>
#include <random>

#include "../ops/room.h"
#include "../ops/rules.h"
#include "case.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace sluice {
namespace {

constexpr int64_t kMostRepaired = 1 << 14;  // elements of a value
constexpr size_t kMostListed = 200;         // values, and ops: a list has up to 255

class Random final {
 public:
  explicit Random(unsigned seed) : generator_(seed) {}
  int below(size_t count) { return static_cast<int>(generator_() % std::max<size_t>(count, 1)); }
  int64_t number() {
    constexpr int64_t odd[] = {-1, 15, 16, 17, 31, 32, 33, 56, 64, 255, 4096, 16384, 1 << 20, 1 << 30};
    return below(4) == 0 ? odd[below(std::size(odd))] : below(9);
  }
  int64_t side() { return 1 + below(below(3) == 0 ? 70 : 9); }

 private:
  std::minstd_rand generator_;
};

// Shapes and maps, each by itself, become such as check.cpp lets pass: rooms may then be asked.
void make_safe(ProgramSpec& program) {
  const auto is_small = [](const ValueSpec& value) {
    int64_t elements = 1;
    for (const int side : value.shape)
      elements = side < 1 ? kMostRepaired + 1 : std::min(elements * side, kMostRepaired + 1);
    return (value.shape.size() == 1 || (value.shape.size() == 3 && !value.is_gate)) && elements <= kMostRepaired;
  };
  for (ValueSpec& value : program.values)
    if (!is_small(value)) value.shape = {1};
  const auto fits = [&](const ChannelRun& run) {
    if (run.count < 1 || run.repeat < 1 || run.first < 0 || run.gate >= static_cast<int>(program.values.size()) ||
        run.gate < -1)
      return false;
    return run.gate == -1 || (program.values[run.gate].is_gate && int64_t{run.first} + (run.count - 1) / run.repeat <
                                                                      program.values[run.gate].channels());
  };
  for (ValueSpec& value : program.values) {
    int64_t channels = 0;
    for (const ChannelRun& run : value.runs) channels += std::max(run.count, 0);
    const bool all = std::all_of(value.runs.begin(), value.runs.end(), fits);
    if (!all || value.is_gate || channels != value.channels()) value.runs.clear();
  }
}

// A gate's flags close equally many channels each.
std::vector<ChannelRun> evenly(const ProgramSpec& program, int gate, int channels) {
  const int flags = program.values[gate].channels();
  if (!program.values[gate].is_gate || channels % flags != 0) return {};
  return {{gate, 0, channels, channels / flags}};
}

// True where an op gives a value, as it would with the output's shape and map as they are; the value becomes that.
bool gives(ProgramSpec& program, const OpSpec& op) {
  ValueSpec& out = program.values[op.output];
  try {
    const Shape shape = op.room->check(Rules(program, ChannelMaps(program), op));
    if (shape.empty()) return true;  // an exit
    const int gate = out.runs.empty() ? -1 : out.runs[0].gate;
    if (shape[0] != out.channels())
      out.runs = gate == -1 ? std::vector<ChannelRun>{} : evenly(program, gate, shape[0]);
    out.shape = shape;
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

// With the map that it has, or that of the first input, or none.
void infer(ProgramSpec& program, const OpSpec& op) {
  ValueSpec& out = program.values[op.output];
  const ValueSpec before = out;
  std::vector<ValueSpec> tried = {before, {before.is_gate, {1}, {}}};
  if (!op.inputs.empty() && !before.is_gate && !program.values[op.inputs[0]].is_gate)
    tried.insert(tried.begin() + 1, program.values[op.inputs[0]]);
  for (const ValueSpec& as : tried) {
    out = as;
    if (gives(program, op)) return make_safe(program);
  }
  out = before;
}

void repair(ProgramSpec& program) {
  make_safe(program);
  const auto is_there = [&](int index) { return index >= 0 && index < static_cast<int>(program.values.size()); };
  for (const OpSpec& op : program.ops)
    if (is_there(op.output) && std::all_of(op.inputs.begin(), op.inputs.end(), is_there)) infer(program, op);
}

void change_attribute(OpSpec& op, Random& random) {
  if (op.attributes.empty()) return;
  Attribute& content = std::next(op.attributes.begin(), random.below(op.attributes.size()))->second;
  constexpr const char* texts[] = {"relu6",    "silu",    "elu",       "none",    "tanh",    "softplus",
                                   "mean",     "max",     "sum",       "abs",     "nearest", "bilinear",
                                   "constant", "reflect", "replicate", "circular"};
  if (std::holds_alternative<std::string>(content)) content = std::string(texts[random.below(std::size(texts))]);
  if (std::holds_alternative<int64_t>(content)) content = random.number();
  if (auto* real = std::get_if<double>(&content)) *real = static_cast<double>(random.number()) / 4;
}

// Its numbers are drawn when the case is read again.
void change_tensor(OpSpec& op, Case::Draws& draws, Random& random) {
  const bool weight = random.below(2) == 0;
  TensorSpec& tensor = weight ? op.weight : op.bias;
  (weight ? draws.weight : draws.bias) = static_cast<uint8_t>(random.below(256));
  if (!tensor.shape.empty()) tensor.shape[random.below(tensor.shape.size())] = random.side();
  if (random.below(8) == 0) tensor.data = nullptr;
}

int any_gate(const ProgramSpec& program, Random& random) {
  const size_t count = program.values.size();
  for (size_t i = 0, first = random.below(count); i < count; ++i)
    if (program.values[(first + i) % count].is_gate) return static_cast<int>((first + i) % count);
  return -1;
}

// The op once more, behind itself; what it writes is read instead of what it wrote.
void repeat_op(Case& c, int at, Random& random) {
  ProgramSpec& program = c.program;
  if (program.values.size() >= kMostListed || program.ops.size() >= kMostListed || program.ops[at].output < 0) return;
  OpSpec again = program.ops[at];
  const int before = again.output, made = static_cast<int>(program.values.size());
  if (before >= made) return;
  program.values.push_back(ValueSpec(program.values[before]));
  again.output = made;
  if (!again.inputs.empty() && random.below(2) == 0) again.inputs[0] = before;
  for (size_t i = at + 1; i < program.ops.size(); ++i)
    std::replace(program.ops[i].inputs.begin(), program.ops[i].inputs.end(), before, made);
  program.ops.insert(program.ops.begin() + at + 1, again);
  c.draws.insert(c.draws.begin() + at + 1, Case::Draws(c.draws[at]));
}

void change_op(Case& c, Random& random) {
  const size_t values = c.program.values.size();
  if (c.program.ops.empty() || values == 0) return;
  const int at = random.below(c.program.ops.size()), gate = any_gate(c.program, random);
  OpSpec& op = c.program.ops[at];
  switch (random.below(8)) {
    case 0: return change_tensor(op, c.draws[at], random);
    case 1: return repeat_op(c, at, random);
    case 2:
      if (op.inputs.size() < kMostListed) op.inputs.push_back(random.below(values));
      return;
    case 3:
      if (!op.inputs.empty()) op.inputs[random.below(op.inputs.size())] = random.below(values);
      return;
    case 4:
      op.when.clear();
      op.unless.clear();
      if (gate != -1 && random.below(2) == 0) (random.below(2) == 0 ? op.when : op.unless) = {gate};
      return;
    default: return change_attribute(op, random);
  }
}

// The input has other sides; another value has another map.
void change_value(Case& c, Random& random) {
  ProgramSpec& program = c.program;
  if (program.values.empty()) return;
  const int at = random.below(2) == 0 ? program.input : random.below(program.values.size());
  if (at < 0 || at >= static_cast<int>(program.values.size()) || program.values[at].shape.empty()) return;
  ValueSpec& value = program.values[at];
  if (at == program.input) {
    value.shape[random.below(value.shape.size())] = static_cast<int>(random.side());
    return;
  }
  const int gate = any_gate(program, random);
  const bool flags = gate != -1 && !program.values[gate].shape.empty() && program.values[gate].channels() > 0;
  value.runs.clear();
  if (flags && random.below(4) != 0) value.runs = evenly(program, gate, value.channels());
}

void change(Case& c, Random& random) {
  const int what = random.below(10);
  if (what == 0) (random.below(2) == 0 ? c.ways : c.images) = static_cast<uint8_t>(random.below(256));
  if (what == 1) c.threshold = static_cast<uint8_t>(random.below(256));
  if (what == 2 || what == 3) change_value(c, random);
  if (what > 3) change_op(c, random);
}

// The second program behind the first: what its input was is a value of the first.
void append(Case& c, const Case& other, Random& random) {
  ProgramSpec& program = c.program;
  const int offset = static_cast<int>(program.values.size()), seen = random.below(program.values.size());
  const int input = other.program.input;
  const auto moved = [&](int index) {
    if (index < 0 || index >= static_cast<int>(other.program.values.size())) return -1;
    return index == input ? seen : index + offset - (index > input);
  };
  const auto move = [&](std::vector<int>& list) { std::transform(list.begin(), list.end(), list.begin(), moved); };
  for (size_t i = 0; i < other.program.values.size(); ++i) {
    if (static_cast<int>(i) == input) continue;
    program.values.push_back(other.program.values[i]);
    for (ChannelRun& run : program.values.back().runs) run.gate = moved(run.gate);
  }
  for (OpSpec op : other.program.ops) {
    for (auto* list : {&op.inputs, &op.when, &op.unless}) move(*list);
    op.output = moved(op.output);
    program.ops.push_back(op);
  }
  c.draws.insert(c.draws.end(), other.draws.begin(), other.draws.end());
  program.outputs = other.program.outputs;
  move(program.outputs);
}

size_t put(const Case& c, uint8_t* out, size_t max_size) {
  const std::vector<uint8_t> bytes = write_case(c);
  if (bytes.size() > max_size) return 0;
  std::copy(bytes.begin(), bytes.end(), out);
  return bytes.size();
}

}  // namespace
}  // namespace sluice

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  sluice::Random random(seed);
  if (random.below(2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  try {
    sluice::Case c = sluice::read_case(data, size);
    for (int left = 1 + random.below(3); left > 0; --left) sluice::change(c, random);
    sluice::repair(c.program);
    if (const size_t written = sluice::put(c, data, max_size)) return written;
  } catch (const std::exception&) {  // too large, or an op of no kind
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data, size_t size, const uint8_t* other, size_t other_size,
                                            uint8_t* out, size_t max_size, unsigned seed) {
  sluice::Random random(seed);
  try {
    sluice::Case c = sluice::read_case(data, size);
    const sluice::Case second = sluice::read_case(other, other_size);
    if (c.program.values.size() + second.program.values.size() > sluice::kMostListed) return 0;
    sluice::append(c, second, random);
    sluice::repair(c.program);
    return sluice::put(c, out, max_size);
  } catch (const std::exception&) {
    return 0;
  }
}
