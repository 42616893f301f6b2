#include "cpu_features.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace sluice {

#if defined(__x86_64__)
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool cpu_has_avx512() {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#else
bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
#endif

size_t l1_bytes() {
  if (const char* told = std::getenv("SLUICEGATE_L1"); told != nullptr && *told != '\0') {
    const std::string text(told);
    uint16_t kibibytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), kibibytes);
    if (error != std::errc{} || end != text.data() + text.size())
      throw std::invalid_argument("SLUICEGATE_L1: '" + text + "' is not a whole number of KiB below 65536");
    return size_t{1024} * kibibytes;
  }
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
#else
  return 0;
#endif
}

}  // namespace sluice
