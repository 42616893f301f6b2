"""The largest of each window, with dilation and `ceil` as torch's `F.max_pool2d` has them."""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape
from sluicegate_runtime.ops.frame.windows import check_pool, count_windows, padded, taps


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    has = given.has
    reach = check_pool(given, has["dilation"])
    count = count_windows(given, (height, width), reach, has["ceil"])
    for axis, side in enumerate((height, width)):
        _check_seen(given, axis, side, count[axis])
    return (channels, *count)


def _check_seen(given: Given, axis: int, side: int, count: int) -> None:
    """Refuse a window whose taps all lie outside: its largest would be minus infinity."""
    kernel, stride, padding, dilation = (given.has[key][axis] for key in ("kernel", "stride", "padding", "dilation"))
    start = np.arange(count, dtype=np.int64) * stride - padding
    first = np.where(start < 0, start % dilation, start)  # the first pixel from 0 on that a tap meets
    seen = (first < side) & (first <= start + (kernel - 1) * dilation)
    given.require(seen.all(), f"dilation {dilation} leaves a window that sees padding alone")


def _run(call: Call) -> np.ndarray:
    kernel, stride, padding, dilation = (call.has[key] for key in ("kernel", "stride", "padding", "dilation"))
    x = padded(call.x, padding, kernel, stride, dilation, call.shape[1:], -np.inf)
    return taps(x, kernel, stride, dilation, call.shape[1:]).max((1, 2))


ROOM = Room(
    kind="max_pool",
    shape=_shape,
    run=_run,
    attributes={"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil": False, "dilation": (1, 1)},
    work=lambda given, shape: prod(shape) * prod(given.has["kernel"]),
)
