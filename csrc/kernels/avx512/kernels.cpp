// 32 registers of 16 lanes. A tile of 3 blocks x 7 pixels takes 21 of them and 3 for weights; 8 pixels still
// fit, 4 x 7 spill under GCC 12. Widths that are multiples of 7, as ImageNet's are, go in sevens, others in
// eights; 9 as 7 + 2, not as 8 + 1.
#include "../kernel_table.h"
#include "vector.h"

namespace {
constexpr int kOuterBlocks = 3, kInnerRows = 3;

SLUICE_INLINE int tile_width(int left) {
  if (left >= 7) return (left % 8 != 0 && left % 7 == 0) || left == 9 ? 7 : left >= 8 ? 8 : 7;
  return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}
}  // namespace

#define SLUICE_TILE_WIDTHS 8, 7, 4, 2, 1
#include "../templates/all.inc"

SLUICE_DEFINE_TABLE(avx512)
