// A matrix as dot_rows reads it.
#pragma once

#include <algorithm>

#include "../arena.h"
#include "../program.h"
#include "planes.h"

namespace sluice {

// Rows padded to whole blocks of lanes, and a bias.
struct Matrix {
  explicit Matrix(const OpSpec& op)
      : rows(static_cast<int>(op.weight.shape[0])), columns(static_cast<int>(op.weight.shape[1])) {
    const size_t pitch = padded();
    weights = make_floats(rows * pitch);
    for (int row = 0; row < rows; ++row)
      std::copy_n(op.weight.data + static_cast<size_t>(row) * columns, columns, weights.get() + row * pitch);
    bias = make_floats(rows);
    if (op.bias.data != nullptr) std::copy_n(op.bias.data, rows, bias.get());
  }

  size_t padded() const { return static_cast<size_t>(blocks_of(columns)) * kLanes; }

  int rows, columns;
  Floats weights, bias;
};

}  // namespace sluice
