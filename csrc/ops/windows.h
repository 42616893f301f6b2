// What convolutions and their transposes have in common.
#pragma once

#include "run_state.h"

namespace sluice {

Window window_of(const OpSpec& conv);  // kernel, stride, padding, dilation

// Pairs of an open input and an open output channel of one group.
int64_t pairs_of(const OpenList& in, const OpenList& out, int in_per_group, int out_per_group);

}  // namespace sluice
