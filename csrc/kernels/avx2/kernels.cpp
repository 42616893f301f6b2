// 16 registers of 8 lanes. An outer tile of one block x 6 pixels takes 12 of them, its weights 2, the pixel
// 1; an inner tile of one channel x 6 pixels likewise. A remainder of 7 goes as 4 + 3, one of 8 as 4 + 4: a tile of
// 2 pixels has sums for half of the multiply-adds that are under way at a time, and takes as long as one of 4.
#include "../kernel_table.h"
#include "vector.h"

namespace {
constexpr int kOuterBlocks = 1, kInnerRows = 1;
SLUICE_INLINE int tile_width(int left) {
  return left == 4 || left == 5 || left == 7 || left == 8 ? 4 : left >= 6 ? 6 : left;
}
}  // namespace

#define SLUICE_TILE_WIDTHS 6, 4, 3, 2, 1
#include "../templates/all.inc"

SLUICE_DEFINE_TABLE(avx2)
