// What an op is while the engine runs.
#pragma once

#include <memory>
#include <vector>

#include "../plan.h"
#include "run_state.h"

namespace sluice {

// An op that one thread can compute a few rows at a time, from wherever the rows lie that they need; see
// frame/strips.cpp.
class RowWise {
 public:
  virtual ~RowWise() = default;
  virtual void run_rows(RunState& state, const View& in, const View& out, Span rows, int thread) const = 0;
  virtual void count(RunState& state) const = 0;  // its multiply-adds
  virtual Window window() const = 0;
};

class Operator {
 public:
  virtual ~Operator() = default;
  virtual void run(RunState& state) const = 0;
  virtual const RowWise* row_wise() const { return nullptr; }
  virtual void skip(RunState&) const {}                // instead of `run` where a gate says so
  virtual size_t scratch_floats() const { return 0; }  // per thread

  // Small ops spend more time waiting for their weights than using them. Called from the last op to the first: a small
  // op adds the pages of its weights to a list; a large op takes the list and prefetches it while it computes.
  virtual void link_pages(std::vector<const float*>& /*wanted*/) {}

  // Some ops can be computed in more than one way. The fastest depends on the share of open multiply-adds, in eighths;
  // autotune.py measures it.
  virtual int candidates() const { return 1; }
  virtual void pick(int /*eighths*/, int /*candidate*/) {}
};

constexpr int kEighths = 8;
constexpr int kPageLines = 64;  // of 64 bytes

// Which of the ways to compute an op are made ready: all, or only the one to take untuned; and whether Winograd may
// be among them.
struct Ways {
  bool all, winograd;
};

using OperatorPtr = std::unique_ptr<Operator>;

// Replaces ops that follow each other over large planes, which no other op reads, by one op that runs them strip by
// strip.
void link_strips(const Plan& plan, const std::vector<OperatorPtr*>& ops);

OperatorPtr make_load(const Plan& plan);  // the image into the program's input

}  // namespace sluice
