// What the processor and the operating system allow; compiled without ISA flags.
#pragma once

#include <stddef.h>

namespace sluice {

bool cpu_has_avx2();    // AVX2 and FMA
bool cpu_has_avx512();  // AVX-512 F, DQ and VL

// A core's L1 data cache, or as many KiB as SLUICEGATE_L1 says (std::invalid_argument where it is no such number); 0
// where nobody tells.
size_t l1_bytes();

}  // namespace sluice
