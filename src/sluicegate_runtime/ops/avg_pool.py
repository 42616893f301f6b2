"""The mean of each window, as torch's `F.avg_pool2d` divides it.

A window is cut off where the padded plane ends, as the last one under `ceil` may have to be. With `count_padding` it is
divided by what is left of it, else by those of its pixels that are in the plane.
"""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape
from sluicegate_runtime.ops.frame.windows import check_pool, count_windows, padded, taps


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    reach = check_pool(given)
    return (channels, *count_windows(given, (height, width), reach, given.has["ceil"]))


def _run(call: Call) -> np.ndarray:
    kernel, stride, padding = (call.has[key] for key in ("kernel", "stride", "padding"))
    x = padded(call.x, padding, kernel, stride, (1, 1), call.shape[1:], 0.0)
    sums = taps(x, kernel, stride, (1, 1), call.shape[1:]).sum((1, 2))
    high, wide = (_counted(call, axis) for axis in (0, 1))
    return sums / (high[:, None] * wide)


def _counted(call: Call, axis: int) -> np.ndarray:
    """How many rows, or columns, of each window count."""
    kernel, stride, padding = (call.has[key][axis] for key in ("kernel", "stride", "padding"))
    side, count = call.x.shape[axis + 1], call.shape[axis + 1]
    start = np.arange(count) * stride - padding
    end = np.minimum(start + kernel, side + padding)
    return end - start if call.has["count_padding"] else np.minimum(end, side) - np.maximum(start, 0)


ROOM = Room(
    kind="avg_pool",
    shape=_shape,
    run=_run,
    attributes={"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil": False, "count_padding": True},
    work=lambda given, shape: prod(shape) * prod(given.has["kernel"]),
)
