// Pooling over windows, largest value or mean.
#pragma once

#include "rules.h"

namespace sluice {

Shape window_pool_shape(const Rules& rules, int dilation_y, int dilation_x);
OperatorPtr make_window_pool(const OpSpec& op, bool maximum);

}  // namespace sluice
