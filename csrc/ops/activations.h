// Activations by name, as the engine applies them.
#pragma once

#include "run_state.h"

namespace sluice {

// Clamped in the store, and perhaps a curve afterwards.
struct Applied {
  Clamp clamp;
  bool curved = false;
  Curve curve = {};
  float alpha = 0.0f;  // of curves that have one
};

// The activation that an op names in an attribute, with the op's alpha. std::invalid_argument if there is none.
Applied applied(const OpSpec& op, const std::string& name = "activation");

void apply_curve(RunState& state, const Applied& activation, const View& view, int blocks);

}  // namespace sluice
