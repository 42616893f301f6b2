// Memory of the engine: zeroed, aligned, in huge pages where the system grants them.
#pragma once

#include <cstddef>
#include <memory>

namespace sluice {

struct FreeFloats {
  void operator()(float* p) const;
};
using Floats = std::unique_ptr<float[], FreeFloats>;

// `count` zeros. Weights are streamed once per image, so a page of 2 MB instead of 4 KB saves most TLB
// misses. std::bad_alloc if there is no memory.
Floats make_floats(size_t count);

}  // namespace sluice
