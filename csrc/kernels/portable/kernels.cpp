// 16 registers of 4 lanes. A block of 16 lanes takes four of them, so a tile of one block x 2 pixels leaves
// room for the weights and one pixel.
#include "../kernel_table.h"
#include "vector.h"

namespace {
constexpr int kOuterBlocks = 1, kInnerRows = 1;
SLUICE_INLINE int tile_width(int left) { return left >= 2 ? 2 : 1; }
}  // namespace

#define SLUICE_TILE_WIDTHS 2, 1
#include "../templates/all.inc"

SLUICE_DEFINE_TABLE(portable)
