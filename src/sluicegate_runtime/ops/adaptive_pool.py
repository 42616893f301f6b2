"""The mean, or the largest, of windows that divide a plane into `size`, as torch's adaptive pools do.

Output i of n along a side of s pixels looks at [floor(i s / n), ceil((i + 1) s / n)).
"""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape


def _shape(given: Given) -> Shape:
    channels, *_ = given.plane()
    size = given.has["size"]
    given.require(all(1 <= side <= MAX_SIDE for side in size), f"size {size} is outside 1..{MAX_SIDE}")
    return (channels, *size)


def _windows(side: int, size: int) -> list[slice]:
    return [slice(i * side // size, -(-(i + 1) * side // size)) for i in range(size)]


def _run(call: Call) -> np.ndarray:
    pooled = np.max if call.has["maximum"] else np.mean
    rows, columns = (_windows(side, size) for side, size in zip(call.x.shape[1:], call.shape[1:], strict=True))
    return np.array([[pooled(call.x[:, row, column], (1, 2)) for column in columns] for row in rows]).transpose(2, 0, 1)


def _work(given: Given, shape: Shape) -> int:
    """Windows overlap by a pixel to each side at most."""
    sides = zip(given.inputs[0].shape[1:], shape[1:], strict=True)
    return shape[0] * prod(side + 2 * size for side, size in sides)


ROOM = Room(
    kind="adaptive_pool",
    shape=_shape,
    run=_run,
    attributes={"size": (1, 1), "maximum": False},
    work=_work,
)
