#include "engine.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

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

OperatorPtr make_operator(const Plan& plan, const OpSpec& op, Ways ways, int& exits) {
  switch (op.kind) {
    case OpKind::conv: return make_conv(plan, op, ways);
    case OpKind::linear: return make_linear(plan, op);
    case OpKind::lstm: return make_lstm(plan, op);
    case OpKind::max_pool:
    case OpKind::avg_pool: return make_pool(plan, op);
    case OpKind::global_pool: return make_global_pool(plan, op);
    case OpKind::gate: return make_gate(op);
    case OpKind::exit: return make_exit(op, exits++);
    default: return make_elementwise(plan, op);
  }
}

}  // namespace

Engine::Engine(ProgramSpec program, const Machine& machine, int threads, Ways ways)
    : program_(checked(std::move(program))), plan_(program_, checked_threads(threads)), pool_(threads) {
  int exits = 0;
  size_t scratch = 0;
  if (!plan_.read_only_by_stem(program_.input)) steps_.push_back({make_load(plan_), program_.input, -1, -1});
  for (OpSpec& op : program_.ops) {
    steps_.push_back(
        {make_operator(plan_, op, ways, exits), op.output, op.when, op.kind == OpKind::exit ? op.inputs[0] : -1});
    op.weight.data = op.bias.data = nullptr;  // borrowed, and packed now
  }
  std::vector<const float*> wanted;
  for (size_t i = steps_.size(); i-- > 0;) steps_[i].op->link_pages(wanted);
  std::vector<OperatorPtr*> ops;
  for (size_t i = first_step(); i < steps_.size(); ++i) ops.push_back(&steps_[i].op);
  link_strips(plan_, ops);
  for (const Step& step : steps_) scratch = std::max(scratch, step.op->scratch_floats());
  run_.emplace(machine, pool_, plan_, scratch);
}

template <class After>
int Engine::run_sample(const After& after) {
  Run& run = *run_;
  run.close_all();
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool open = step.when == -1 || run.is_open(step.when);
    open ? step.op->run(run) : step.op->skip(run);
    after(i);
    if (run.ended) return step.ends_with;
    if (open && step.output != -1) run.present[step.output] = 1;
  }
  return program_.output;
}

void Engine::run(const float* images, int64_t count, std::optional<float> threshold, const Results& results) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const ThreadPool::Awake awake(pool_);
  Run& run = *run_;
  run.threshold_given = threshold.has_value();
  run.threshold = threshold.value_or(0.0f);
  const ValueSpec& output = program_.values[program_.output];
  const size_t floats = static_cast<size_t>(output.channels()) * output.height() * output.width();
  uint8_t* flags = results.flags;
  for (int64_t sample = 0; sample < count; ++sample) {
    run.image = images + sample * input_floats();
    const int value = run_sample([](size_t) {});
    unpack(run.views[value], output.channels(), results.output + sample * floats);
    results.macs[sample] = run.macs;
    results.exits[sample] = run.exit;
    for (const std::vector<uint8_t>& gate : run.flags) flags = std::copy(gate.begin(), gate.end(), flags);
  }
}

std::vector<Engine::Cost> Engine::profile(const float* image, int repeats, const uint8_t* forced) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const ThreadPool::Awake awake(pool_);
  Run& run = *run_;
  run.threshold_given = false;
  run.image = image;
  std::vector<Cost> costs(steps_.size(), {0.0, 0});
  for (int repeat = 0; repeat < repeats; ++repeat) {
    auto before = std::chrono::steady_clock::now();
    int64_t macs = 0;
    run_sample([&](size_t step) {
      const auto now = std::chrono::steady_clock::now();
      costs[step].seconds += std::chrono::duration<double>(now - before).count();
      costs[step].macs = run.macs - macs;
      macs = run.macs;
      const Step& done = steps_[step];
      if (forced != nullptr && (done.when == -1 || run.is_open(done.when))) force(done.output, forced);
      before = std::chrono::steady_clock::now();
    });
  }
  return {costs.begin() + first_step(), costs.end()};
}

void Engine::force(int value, const uint8_t* flags) {
  if (value == -1 || !program_.values[value].is_gate) return;
  for (const auto& [gate, count] : gates()) {
    if (gate == value) run_->set_flags(gate, std::vector<uint8_t>(flags, flags + count));
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
  const std::lock_guard<std::mutex> lock(mutex_);
  operator_of(op).pick(eighths, candidate);
}

int64_t Engine::input_floats() const {
  const ValueSpec& input = program_.values[program_.input];
  return int64_t{input.channels()} * input.height() * input.width();
}

std::vector<std::pair<int, int>> Engine::gates() const {
  std::vector<std::pair<int, int>> gates;
  for (size_t v = 0; v < program_.values.size(); ++v)
    if (program_.values[v].is_gate) gates.emplace_back(static_cast<int>(v), program_.values[v].channels());
  return gates;
}

}  // namespace sluice
