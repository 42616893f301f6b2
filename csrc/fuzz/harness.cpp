// What libFuzzer calls with each case: load, check and run, with every way to compute an op, and with gates forced.
// A case is answered or refused in one line; whatever else comes of it ends the process. Files themselves are read in
// Python, and damaged by tests/runtime/test_fuzz.py.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "../engine.h"
#include "../kernels/dispatch.h"
#include "case.h"

namespace sluice {
namespace {

// What a case may ask for, or some would take as long as thousands of others.
constexpr int64_t kMostElements = 1 << 15;  // of all values
constexpr int64_t kMostWork = 1 << 18;      // taps times pixels, of all ops
constexpr int64_t kMostChannels = 1 << 14;  // that all ops read and write: what checking takes
constexpr int kEveryCandidate = 2;

const ValueSpec* value_at(const ProgramSpec& program, int index) {
  const bool there = index >= 0 && index < static_cast<int>(program.values.size());
  return there && !program.values[index].shape.empty() ? &program.values[index] : nullptr;
}

int64_t channels_of(const ProgramSpec& program) {
  int64_t channels = 0;
  const auto add = [&](int index) {
    if (const ValueSpec* value = value_at(program, index)) channels += std::max(value->channels(), 0);
  };
  for (const OpSpec& op : program.ops) {
    add(op.output);
    for (const int input : op.inputs) add(input);
  }
  return channels;
}

int64_t pixels_of(const ValueSpec& value) { return int64_t{value.height()} * value.width(); }
int64_t elements_of(const ValueSpec& value) { return pixels_of(value) * value.channels(); }

// Any op may carry any attribute.
int64_t window_of_pool(const OpSpec& op, const ValueSpec& in) {
  if (op.attributes.count("kernel_y") == 0 || op.attributes.count("kernel_x") == 0) return 1;
  return int64_t{std::clamp(integer(op, "kernel_y"), 1, in.height())} *
         std::clamp(integer(op, "kernel_x"), 1, in.width());
}

int64_t work_of(const ProgramSpec& program, const OpSpec& op) {
  if (op.output == -1) return 0;
  const ValueSpec& out = program.values[op.output];
  int64_t taps = 1, pixels = pixels_of(out), work = 0;
  for (const int64_t side : op.weight.shape) taps *= side;
  for (const int input : op.inputs) {
    pixels = std::max(pixels, pixels_of(program.values[input]));
    work += window_of_pool(op, program.values[input]) * elements_of(out);
  }
  return work + taps * pixels;
}

// Asked of a program that is checked.
void require_small(const ProgramSpec& program) {
  int64_t elements = 0, work = 0;
  for (const ValueSpec& value : program.values) elements += elements_of(value);
  if (elements > kMostElements) throw TooLarge();
  for (const OpSpec& op : program.ops) work += work_of(program, op);
  if (work > kMostWork) throw TooLarge();
}

// Where its results go, each in memory of its own.
struct Answers {
  std::vector<std::unique_ptr<float[]>> outputs;
  std::unique_ptr<int64_t[]> macs, exits;
  std::unique_ptr<uint8_t[]> flags;

  Answers(const Engine& engine, size_t count, size_t flag_count)
      : macs(new int64_t[count]), exits(new int64_t[count]), flags(new uint8_t[count * flag_count]) {
    for (const Shape& shape : engine.output_shapes()) {
      size_t floats = count;
      for (const int side : shape) floats *= static_cast<size_t>(side);
      outputs.emplace_back(new float[floats]);
    }
  }

  Results results() const {
    Results results = {{}, macs.get(), exits.get(), flags.get()};
    for (const auto& output : outputs) results.outputs.push_back(output.get());
    return results;
  }
};

void pick_all(Engine& engine, size_t ops, int candidate) {
  for (size_t op = 0; op < ops; ++op)
    for (int eighths = 0; eighths <= kEighths; ++eighths)
      engine.pick(static_cast<int>(op), eighths, std::min(candidate, engine.candidates(static_cast<int>(op)) - 1));
}

void profile(Engine& engine, const float* image, size_t flag_count, uint8_t from) {
  std::vector<uint8_t> flags(flag_count);
  for (size_t i = 0; i < flag_count; ++i) flags[i] = static_cast<uint8_t>(from >> i % 8 & 1);
  engine.profile(image, 1, flags.data());
}

size_t flags_of(const Engine& engine) {
  size_t flags = 0;
  for (const auto& gate : engine.gates()) flags += static_cast<size_t>(gate.second);
  return flags;
}

Engine made(Case& c) {
  const auto kernels = available_kernels();
  const Machine machine = {*kernels[c.isa() % kernels.size()], size_t{c.large_l1() ? 48u : 32u} << 10};
  return Engine(std::move(c.program), machine, c.threads(), {c.all_candidates(), c.winograd()});
}

void run(Case c) {
  check_program(c.program);
  require_small(c.program);
  const size_t ops = c.program.ops.size(), count = static_cast<size_t>(c.count());
  Engine engine = made(c);
  const auto images = drawn(std::max<size_t>(count, 1) * static_cast<size_t>(engine.input_floats()), c.images);
  std::optional<float> threshold;
  if (c.threshold != 0) threshold = (c.threshold - 128) / 16.0f;
  const Answers answers(engine, count, flags_of(engine));
  for (int candidate = 0; candidate < (c.all_candidates() ? kEveryCandidate : 1); ++candidate) {
    if (candidate > 0) pick_all(engine, ops, candidate);
    engine.run(images.get(), static_cast<int64_t>(count), threshold, answers.results());
  }
  if (c.profiled()) profile(engine, images.get(), flags_of(engine), c.images);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    sluice::Case c = sluice::read_case(data, size);
    if (sluice::channels_of(c.program) > sluice::kMostChannels) return -1;
    sluice::run(std::move(c));
  } catch (const std::invalid_argument& refusal) {
    const std::string line = refusal.what();
    if (line.empty() || line.find('\n') != std::string::npos) std::abort();
  } catch (const std::bad_alloc&) {
    return -1;
  } catch (const sluice::TooLarge&) {
    return -1;
  }
  return 0;
}
