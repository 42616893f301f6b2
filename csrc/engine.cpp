#include "engine.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "ops/planes.h"

namespace sluice {
namespace {

constexpr int kMostThreads = 1024;

ProgramSpec checked(ProgramSpec program) {
  check_program(program);
  return program;
}

int checked_threads(int threads) {
  if (threads < 1 || threads > kMostThreads)
    throw std::invalid_argument("threads: " + std::to_string(threads) + " is not in 1.." +
                                std::to_string(kMostThreads));
  return threads;
}

}  // namespace

Engine::Engine(ProgramSpec program, const Machine& machine, int threads, Ways ways)
    : program_(checked(std::move(program))), plan_(program_, checked_threads(threads)), pool_(threads) {
  int exits = 0;
  size_t scratch = 0;
  if (!plan_.read_as_image(program_.input)) {
    steps_.emplace_back();
    steps_.back().op = make_load(plan_);
    steps_.back().output = program_.input;
  }
  for (OpSpec& op : program_.ops) {
    steps_.push_back(step_of(op, ways, exits));
    exits += op.output == -1;
    op.weight.data = op.bias.data = nullptr;  // borrowed, and packed now
  }
  std::vector<const float*> wanted;
  for (size_t i = steps_.size(); i-- > 0;) steps_[i].op->link_pages(wanted);
  std::vector<OperatorPtr*> ops;
  for (size_t i = first_step(); i < steps_.size(); ++i) ops.push_back(&steps_[i].op);
  link_strips(plan_, ops);
  for (const Step& step : steps_) scratch = std::max(scratch, step.op->scratch_floats());
  state_.emplace(machine, pool_, plan_, scratch);
}

// An op without an output is an exit.
Engine::Step Engine::step_of(const OpSpec& op, Ways ways, int exits) const {
  Step step;
  step.op = op.room->make({plan_, op, ways, exits});
  step.output = op.output;
  step.when = op.when;
  step.unless = op.unless;
  step.needs = op.room->stand_in == nullptr ? -1 : op.room->stand_in(op);
  step.ends_with = op.output == -1 ? op.inputs[0] : -1;
  return step;
}

bool Engine::runs(const Step& step) const {
  for (const int gate : step.when)
    if (!state_->is_open(gate)) return false;
  for (const int gate : step.unless)
    if (state_->is_open(gate)) return false;
  return step.needs == -1 || state_->present[step.needs];
}

template <class After>
int Engine::run_sample(const After& after) {
  RunState& state = *state_;
  state.close_all();
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool open = runs(step);
    open ? step.op->run(state) : step.op->skip(state);
    after(i);
    if (state.ended) return step.ends_with;
    if (open && step.output != -1) state.present[step.output] = 1;
  }
  return -1;
}

void Engine::run(const float* images, int64_t count, std::optional<float> threshold, const Results& results) {
  const std::lock_guard<std::mutex> lock(mutex_.get());
  const ThreadPool::Awake awake(pool_);
  RunState& state = *state_;
  state.threshold_given = threshold.has_value();
  state.threshold = threshold.value_or(0.0f);
  uint8_t* flags = results.flags;
  for (int64_t sample = 0; sample < count; ++sample) {
    state.image = images + sample * input_floats();
    const int ending = run_sample([](size_t) {});
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const int value = ending == -1 ? program_.outputs[i] : ending;
      unpack(state.views[value], program_.values[value].channels(), results.outputs[i] + sample * floats_of(value));
    }
    results.macs[sample] = state.macs;
    results.exits[sample] = state.exit;
    for (const std::vector<uint8_t>& gate : state.flags) flags = std::copy(gate.begin(), gate.end(), flags);
  }
}

std::vector<Engine::Cost> Engine::profile(const float* image, int repeats, const uint8_t* forced) {
  const std::lock_guard<std::mutex> lock(mutex_.get());
  const ThreadPool::Awake awake(pool_);
  RunState& state = *state_;
  state.threshold_given = false;
  state.image = image;
  std::vector<Cost> costs(steps_.size(), {0.0, 0});
  for (int repeat = 0; repeat < repeats; ++repeat) {
    auto before = std::chrono::steady_clock::now();
    int64_t macs = 0;
    run_sample([&](size_t step) {
      const auto now = std::chrono::steady_clock::now();
      costs[step].seconds += std::chrono::duration<double>(now - before).count();
      costs[step].macs = state.macs - macs;
      macs = state.macs;
      if (forced != nullptr && runs(steps_[step])) force(steps_[step].output, forced);
      before = std::chrono::steady_clock::now();
    });
  }
  return {costs.begin() + first_step(), costs.end()};
}

void Engine::force(int value, const uint8_t* flags) {
  if (value == -1 || !program_.values[value].is_gate) return;
  for (const auto& [gate, count] : gates()) {
    if (gate == value) state_->set_flags(gate, std::vector<uint8_t>(flags, flags + count));
    flags += count;
  }
}

Operator& Engine::operator_of(int op) const {
  if (op < 0 || op >= static_cast<int>(program_.ops.size()))
    throw std::invalid_argument("op: " + std::to_string(op) + " is out of range");
  return *steps_[first_step() + op].op;
}

int Engine::candidates(int op) const { return operator_of(op).candidates(); }

void Engine::pick(int op, int eighths, int candidate) {
  if (eighths < 0 || eighths > kEighths || candidate < 0 || candidate >= candidates(op))
    throw std::invalid_argument("pick: eighths " + std::to_string(eighths) + " or candidate " +
                                std::to_string(candidate) + " is out of range");
  const std::lock_guard<std::mutex> lock(mutex_.get());
  operator_of(op).pick(eighths, candidate);
}

int64_t Engine::floats_of(int value) const {
  const ValueSpec& spec = program_.values[value];
  return int64_t{spec.channels()} * spec.height() * spec.width();
}

std::vector<Shape> Engine::output_shapes() const {
  std::vector<Shape> shapes;
  for (const int output : program_.outputs) shapes.push_back(program_.values[output].shape);
  return shapes;
}

std::vector<std::pair<int, int>> Engine::gates() const {
  std::vector<std::pair<int, int>> gates;
  for (size_t v = 0; v < program_.values.size(); ++v)
    if (program_.values[v].is_gate) gates.emplace_back(static_cast<int>(v), program_.values[v].channels());
  return gates;
}

}  // namespace sluice
