// The state of one sample while the program runs, as the ops see it.
#pragma once

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

struct RunState {
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
  void set_flags(int gate, const float* logits, float threshold, int keep_open);
  void set_flags(int gate, const std::vector<uint8_t>& open);
  void leave_closed(int gate);  // a gate that is skipped
  void close_all();             // every gate, before a sample
  float* scratch(int thread) const { return scratch_[thread].get(); }

  RunState(const Machine& machine, ThreadPool& pool, const Plan& plan, size_t scratch_floats);

 private:
  void list_open(int list);  // what follows from its gates' flags

  struct List {
    std::vector<int32_t> channels, blocks;
    int count = 0;
  };
  std::vector<Floats> slots_;
  std::vector<Floats> scratch_;
  std::vector<List> lists_;
  std::vector<int32_t> all_channels_, all_blocks_;
};

}  // namespace sluice
