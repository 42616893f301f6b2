// The engine: a loaded program, ready to run samples one after another.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ops/room.h"
#include "own_process.h"
#include "plan.h"
#include "program.h"
#include "thread_pool.h"

namespace sluice {

// Where the results of a batch of N go; the caller owns the memory.
struct Results {
  std::vector<float*> outputs;  // [N, ...] as each of the program's outputs
  int64_t* macs;                // [N]
  int64_t* exits;               // [N], -1 where no exit ended the sample
  uint8_t* flags;               // [N, all flags of all gates in the order of the values]
};

class Engine final {
 public:
  // Checks the program and packs its weights; std::invalid_argument if it is refused. The tensors of `program` are
  // not needed afterwards. `ways`: in which an op can be computed.
  Engine(ProgramSpec program, const Machine& machine, int threads, Ways ways);

  // Runs `count` images [C, H, W]. `threshold`, a logit, replaces that of every gate. Runs of one engine
  // wait for each other: two at once would only compete for the cores.
  void run(const float* images, int64_t count, std::optional<float> threshold, const Results& results);

  // Runs one image [C, H, W] `repeats` times; of each op of the program, the seconds of all its runs together and the
  // multiply-adds of one. Loading the image is not included. For ops that are run strip by strip, the first op has
  // the time of all. Gates are evaluated as usual; with `forced`, the flags of all gates in the order of the values,
  // these flags are used instead of their decisions.
  struct Cost {
    double seconds;
    int64_t macs;
  };
  std::vector<Cost> profile(const float* image, int repeats, const uint8_t* forced);

  // For autotune.py: the number of ways to compute an op, and the way to use from now on if so many eighths of its
  // multiply-adds are open. std::invalid_argument if there is no such op or choice.
  int candidates(int op) const;
  void pick(int op, int eighths, int candidate);

  int64_t input_floats() const { return floats_of(program_.input); }
  std::vector<Shape> output_shapes() const;
  std::vector<std::pair<int, int>> gates() const;  // (index of the value, flags)
  const char* isa() const { return state_->kernels.name; }

 private:
  struct Step {
    OperatorPtr op;
    int output = -1;                // -1: none
    std::vector<int> when, unless;  // gates
    int needs = -1;                 // a value without which there is no output, or -1
    int ends_with = -1;             // the value that an exit returns, or -1
  };

  Step step_of(const OpSpec& op, Ways ways, int exits) const;
  bool runs(const Step& step) const;

  // Runs all steps, and after(step) behind each; the value of an exit that ended the sample, or -1.
  template <class After>
  int run_sample(const After& after);
  size_t first_step() const { return steps_.size() - program_.ops.size(); }  // 1 where a step loads the image
  Operator& operator_of(int op) const;
  int64_t floats_of(int value) const;
  void force(int value, const uint8_t* flags);  // if it is a gate: what `flags`, of all gates, say of it

  ProgramSpec program_;
  Plan plan_;
  ThreadPool pool_;
  std::vector<Step> steps_;
  std::optional<RunState> state_;
  OwnProcess<std::mutex> mutex_;
};

}  // namespace sluice
