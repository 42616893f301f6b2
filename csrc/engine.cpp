#include "engine.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/dispatch.h"

namespace sluice {
namespace {

constexpr int kMostThreads = 1024;

ProgramSpec checked(ProgramSpec program) {
  check_program(program);
  return program;
}

int checked_threads(int threads) {
  if (threads < 1 || threads > kMostThreads)
    throw std::invalid_argument("threads: " + std::to_string(threads) + " is not in 1..1024");
  return threads;
}

OperatorPtr make_operator(const Plan& plan, const OpSpec& op, int& exits) {
  switch (op.kind) {
    case OpKind::conv: return make_conv(plan, op);
    case OpKind::linear: return make_linear(plan, op);
    case OpKind::max_pool:
    case OpKind::avg_pool: return make_pool(plan, op);
    case OpKind::global_pool: return make_global_pool(plan, op);
    case OpKind::gate: return make_gate(op);
    case OpKind::exit: return make_exit(op, exits++);
    default: return make_elementwise(plan, op);
  }
}

}  // namespace

Engine::Engine(ProgramSpec program, int threads)
    : program_(checked(std::move(program))),
      kernels_(select_kernels()),
      plan_(program_, checked_threads(threads)),
      pool_(threads) {
  int exits = 0;
  size_t scratch = 0;
  if (!plan_.read_only_by_stem(program_.input)) steps_.push_back({make_load(plan_), program_.input, -1, -1});
  for (OpSpec& op : program_.ops) {
    steps_.push_back(
        {make_operator(plan_, op, exits), op.output, op.when, op.kind == OpKind::exit ? op.inputs[0] : -1});
    op.weight.data = op.bias.data = nullptr;  // borrowed, and packed now
    scratch = std::max(scratch, steps_.back().op->scratch_floats());
  }
  run_.emplace(kernels_, pool_, plan_, scratch);
}

int Engine::run_sample() {
  Run& run = *run_;
  run.close_all();
  for (const Step& step : steps_) {
    if (step.when != -1 && !run.is_open(step.when)) {
      step.op->skip(run);
      continue;
    }
    step.op->run(run);
    if (run.ended) return step.ends_with;
    if (step.output != -1) run.present[step.output] = 1;
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
    const int value = run_sample();
    unpack(run.views[value], output.channels(), results.output + sample * floats);
    results.macs[sample] = run.macs;
    results.exits[sample] = run.exit;
    for (const std::vector<uint8_t>& gate : run.flags) flags = std::copy(gate.begin(), gate.end(), flags);
  }
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
