#include "dispatch.h"

#include <cstdlib>
#include <stdexcept>

#include "cpu_features.h"

namespace sluice {

extern const KernelTable portable_kernels;
#if defined(SLUICE_X86)
extern const KernelTable avx2_kernels;
extern const KernelTable avx512_kernels;
#endif

std::vector<const KernelTable*> available_kernels() {
  std::vector<const KernelTable*> found;
#if defined(SLUICE_X86)
  if (cpu_has_avx512()) found.push_back(&avx512_kernels);
  if (cpu_has_avx2()) found.push_back(&avx2_kernels);
#endif
  found.push_back(&portable_kernels);
  return found;
}

const KernelTable& select_kernels() {
  const auto found = available_kernels();
  const char* wanted = std::getenv("SLUICEGATE_ISA");
  if (wanted == nullptr || *wanted == '\0') return *found.front();
  std::string names;
  for (const KernelTable* kernels : found) {
    if (std::string(kernels->name) == wanted) return *kernels;
    names += names.empty() ? kernels->name : std::string(", ") + kernels->name;
  }
  throw std::invalid_argument("SLUICEGATE_ISA: '" + std::string(wanted) + "' is not one of " + names);
}

}  // namespace sluice
