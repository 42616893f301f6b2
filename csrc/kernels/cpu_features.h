// What the processor and the operating system allow; compiled without ISA flags.
#pragma once

namespace sluice {

bool cpu_has_avx2();    // AVX2 and FMA
bool cpu_has_avx512();  // AVX-512 F, DQ and VL

}  // namespace sluice
