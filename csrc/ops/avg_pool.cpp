// The mean of each window, as torch.nn.functional.avg_pool2d defines it.
#include "rules.h"
#include "window_pool.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  rules.flag("count_padding");
  return window_pool_shape(rules, 1, 1);
}

OperatorPtr make(const Making& making) { return make_window_pool(making.op, false); }

}  // namespace

extern const OpRoom avg_pool_room;
const OpRoom avg_pool_room = {"avg_pool", check, make};

}  // namespace sluice
