// What an op is while the engine runs, and what it sees of a run.
#pragma once

#include <memory>
#include <vector>

#include "../arena.h"
#include "../kernels/dispatch.h"
#include "../kernels/kernel_table.h"
#include "../plan.h"
#include "../thread_pool.h"

namespace sluice {

// Which channels of a value are stored, in the order in which they are stored.
struct OpenList {
  const int32_t* channels;  // readable 64 past the end, where any channel may stand
  int count;
  const int32_t* blocks;  // channels[16 * j] / 16, for lists whose flags each cover whole blocks
};

// The state of one sample on its way through the program.
struct Run {
  const KernelTable& kernels;
  ThreadPool& pool;
  const Plan& plan;
  const bool large_l1;  // as the kernels ask

  const float* image = nullptr;  // [C, H, W]
  bool threshold_given = false;
  float threshold = 0.0f;                   // replaces that of every gate which has one
  std::vector<View> views;                  // per value
  std::vector<std::vector<uint8_t>> flags;  // per value that is a gate
  std::vector<char> present;                // per value: written in this run, not skipped
  int64_t macs = 0;
  bool ended = false;  // by an exit
  int exit = -1;

  OpenList open(int value) const;                                   // channels of a value that are stored
  const int32_t* in_order() const { return all_channels_.data(); }  // 0, 1, 2, ...
  bool is_open(int gate) const { return flags[gate][0] != 0; }
  void set_flags(int gate, const float* logits, float threshold);
  void set_flags(int gate, const std::vector<uint8_t>& open);
  void close_all();  // every gate, before a sample
  float* scratch(int thread) const { return scratch_[thread].get(); }

  Run(const Machine& machine, ThreadPool& pool, const Plan& plan, size_t scratch_floats);

 private:
  void list_open(int gate);  // the open-lists that follow from its flags

  struct List {
    std::vector<int32_t> channels, blocks;
    int count = 0;
  };
  std::vector<Floats> slots_;
  std::vector<Floats> scratch_;
  std::vector<List> lists_;
  std::vector<int32_t> all_channels_, all_blocks_;
};

constexpr int kEighths = 8;
constexpr int kPageLines = 64;  // of 64 bytes

struct Span {
  int begin, end;
};

// One of so many equal shares of a count; in 64 bits, since both may be large.
inline Span share_of(int count, int index, int shares) {
  return {static_cast<int>(int64_t{count} * index / shares), static_cast<int>(int64_t{count} * (index + 1) / shares)};
}

// An op that one thread can compute a few rows at a time, from wherever the rows lie that they need; see strips.cpp.
class RowWise {
 public:
  virtual ~RowWise() = default;
  virtual void run_rows(Run& run, const View& in, const View& out, Span rows, int thread) const = 0;
  virtual void count(Run& run) const = 0;  // its multiply-adds
  virtual Window window() const = 0;
};

class Operator {
 public:
  virtual ~Operator() = default;
  virtual void run(Run& run) const = 0;
  virtual const RowWise* row_wise() const { return nullptr; }
  virtual void skip(Run&) const {}                     // instead of `run` where the layer gate is closed
  virtual size_t scratch_floats() const { return 0; }  // per thread

  // Small ops wait longer for their weights than they need for using them. Called from the last op to the first: a
  // small one adds pages of its weights to those wanted, a large one takes all and fetches them while it computes.
  virtual void link_pages(std::vector<const float*>& /*wanted*/) {}

  // Some ops can be computed in more than one way. Which way pays depends on how much is open, in eighths of the
  // multiply-adds; autotune.py measures it.
  virtual int candidates() const { return 1; }
  virtual void pick(int /*eighths*/, int /*candidate*/) {}
};

// Which of the ways to compute an op are made ready: all, or only the one to take untuned; and whether Winograd may
// be among them.
struct Ways {
  bool all, winograd;
};

using OperatorPtr = std::unique_ptr<Operator>;

// Where ops follow each other through large planes that nobody else reads, puts one in their place that runs them
// strip by strip.
void link_strips(const Plan& plan, const std::vector<OperatorPtr*>& ops);

OperatorPtr make_load(const Plan& plan);  // the image into the program's input
OperatorPtr make_conv(const Plan& plan, const OpSpec& op, Ways ways);
OperatorPtr make_linear(const Plan& plan, const OpSpec& op);
OperatorPtr make_lstm(const Plan& plan, const OpSpec& op);
OperatorPtr make_pool(const Plan& plan, const OpSpec& op);  // max, average
OperatorPtr make_global_pool(const Plan& plan, const OpSpec& op);
OperatorPtr make_gate(const OpSpec& op);
OperatorPtr make_exit(const OpSpec& op, int index);
OperatorPtr make_elementwise(const Plan& plan, const OpSpec& op);  // all the others

// The output [C, H, W] or [F] of a run, unpacked from lanes.
void unpack(const View& view, int channels, float* out);

// An activation as the engine applies it: clamped in the store, and perhaps a curve afterwards.
struct Applied {
  Clamp clamp;
  bool curved;
  Curve curve;
};
Applied applied(Activation activation);
void apply_curve(Run& run, const Applied& activation, const View& view, int blocks);

}  // namespace sluice
