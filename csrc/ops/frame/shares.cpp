#include "../shares.h"

#include <algorithm>

namespace sluice {

Shares::Shares(int threads, int rows, int units, int units_per_tile, int taps) : rows(rows), units(units) {
  by_rows = rows >= many_rows(taps) || units < threads * units_per_tile / 2 + 1;
  // Twice as many chunks as threads balances the load if a core is taken away. Units are cut less finely, because the
  // first weights of a chunk are not prefetched.
  const int fine = threads == 1 && taps != 1 ? 1 : 2 * threads;
  const int wanted = !by_rows ? threads : taps == 1 ? std::clamp(rows / 14, threads, 2 * fine) : fine;
  chunks = std::max(1, std::min(wanted, by_rows ? rows : units));
}

}  // namespace sluice
