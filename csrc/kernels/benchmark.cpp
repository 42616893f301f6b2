// Every kernel of every ISA that this machine runs, alone on one core: a line of JSON each, with the time of a call,
// multiply-adds and additions counted as GFLOP/s, and operands, each counted once, as GB/s. benchmarks/kernels.py
// makes a table of it.
//
// Rows of kernels.inc become calls: one whose struct has no Workload does not compile.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

#include "conv_workloads.h"
#include "dispatch.h"
#include "value_workloads.h"

namespace sluice {
namespace {

constexpr double kSeconds = 0.02;  // that a measurement takes at least
constexpr int kRepeats = 5;        // of which the fastest counts: what disturbs a call only ever slows it

template <class Arguments>
double seconds_of(void (*kernel)(const Arguments&), const Arguments& arguments, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int call = 0; call < calls; ++call) kernel(arguments);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Arguments>
void report(const char* isa, const char* name, void (*kernel)(const Arguments&)) {
  Workload<Arguments> work;
  int calls = 1;
  while (seconds_of(kernel, work.arguments, calls) < kSeconds) calls *= 2;
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < kRepeats; ++repeat)
    best = std::min(best, seconds_of(kernel, work.arguments, calls) / calls);
  std::printf(R"({"isa": "%s", "kernel": "%s", "microseconds": %.3f, "gflops": %.2f, "gigabytes": %.2f})"
              "\n",
              isa, name, 1e6 * best, 1e-9 * work.flops / best, 1e-9 * sizeof(float) * work.floats / best);
}

}  // namespace
}  // namespace sluice

int main() {
  for (const sluice::KernelTable* kernels : sluice::available_kernels()) {
#define SLUICE_KERNEL(kernel, Arguments) sluice::report<sluice::Arguments>(kernels->name, #kernel, kernels->kernel);
#include "kernels.inc"
#undef SLUICE_KERNEL
  }
}
