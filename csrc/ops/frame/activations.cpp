#include "../activations.h"

#include <stdexcept>

#include "../shares.h"

namespace sluice {
namespace {

struct Row {
  const char* name;
  Clamp clamp;
  bool curved;
  Curve curve;
};

constexpr float kInfinity = __builtin_inff();

constexpr Row kActivations[] = {
    {"none", kNoClamp, false, {}},
    {"relu", {0.0f, kInfinity}, false, {}},
    {"relu6", {0.0f, 6.0f}, false, {}},
    {"leaky_relu", kNoClamp, true, Curve::leaky_relu},
    {"elu", kNoClamp, true, Curve::elu},
    {"silu", kNoClamp, true, Curve::silu},
    {"hardswish", kNoClamp, true, Curve::hardswish},
    {"sigmoid", kNoClamp, true, Curve::sigmoid},
    {"hardsigmoid", kNoClamp, true, Curve::hardsigmoid},
    {"tanh", kNoClamp, true, Curve::tanh},
    {"gelu", kNoClamp, true, Curve::gelu},
    {"gelu_tanh", kNoClamp, true, Curve::gelu_tanh},
    {"mish", kNoClamp, true, Curve::mish},
    {"softplus", kNoClamp, true, Curve::softplus},
};

}  // namespace

Applied applied(const OpSpec& op, const std::string& name) {
  const std::string& wanted = text(op, name);
  const float alpha = number(op, "alpha");
  for (const Row& row : kActivations)
    if (wanted == row.name) return {row.clamp, row.curved, row.curve, alpha};
  throw std::invalid_argument("op '" + op.name + "': activation is unknown");
}

void apply_curve(RunState& state, const Applied& activation, const View& view, int blocks) {
  if (!activation.curved) return;
  for_rows(state, view, blocks, [&](int block, int y) {
    state.kernels.curve({view.data + block * view.block + y * view.row, static_cast<size_t>(view.width) * kLanes,
                         activation.curve, activation.alpha});
  });
}

}  // namespace sluice
