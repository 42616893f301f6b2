#include "arena.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sluice {

void FreeFloats::operator()(float* p) const { std::free(p); }

Floats make_floats(size_t count) {
  constexpr size_t huge = size_t{2} << 20, line = 64;
  if (count > SIZE_MAX / sizeof(float) - huge) throw std::bad_alloc();
  const size_t align = count * sizeof(float) >= huge ? huge : line;
  const size_t bytes = (count * sizeof(float) + line + align - 1) / align * align;  // a line more: never none
  void* memory = std::aligned_alloc(align, bytes);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (align == huge) madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: it may be refused
#endif
  std::memset(memory, 0, bytes);
  return Floats(static_cast<float*>(memory));
}

}  // namespace sluice
