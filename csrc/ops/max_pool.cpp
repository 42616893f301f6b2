// The largest value of each window.
#include "rules.h"
#include "window_pool.h"

namespace sluice {
namespace {

Shape check(const Rules& rules) {
  return window_pool_shape(rules, rules.between(1, kMaxSide, "dilation_y"), rules.between(1, kMaxSide, "dilation_x"));
}

OperatorPtr make(const Making& making) { return make_window_pool(making.op, true); }

}  // namespace

extern const OpRoom max_pool_room;
const OpRoom max_pool_room = {"max_pool", check, make};

}  // namespace sluice
