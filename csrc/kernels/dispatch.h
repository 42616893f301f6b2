#pragma once

#include <string>
#include <vector>

#include "kernel_table.h"

namespace sluice {

// The ISAs that this build holds and this machine runs, best first.
std::vector<const KernelTable*> available_kernels();

// The best of them, or the one that SLUICEGATE_ISA names. std::invalid_argument if that one cannot be had.
const KernelTable& select_kernels();

// What a program is run with.
struct Machine {
  const KernelTable& kernels;
  size_t l1_bytes;
};

}  // namespace sluice
