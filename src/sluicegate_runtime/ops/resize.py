"""A plane at another size, nearest or bilinear, as torch's `F.interpolate` does it when it is given a size."""

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape

MODES = ("nearest", "bilinear")


def _shape(given: Given) -> Shape:
    channels, *_ = given.plane()
    size, mode = given.has["size"], given.has["mode"]
    given.require(all(1 <= side <= MAX_SIDE for side in size), f"size {size} is outside 1..{MAX_SIDE}")
    given.require(mode in MODES, f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    aligned = given.has["align_corners"] and mode == "nearest"
    given.require(not aligned, "only a bilinear resize can align corners")
    return (channels, *size)


def _run(call: Call) -> np.ndarray:
    x = call.x
    for axis, size in enumerate(call.shape[1:], start=1):
        if call.has["mode"] == "nearest":
            x = x.take(nearest(x.shape[axis], size), axis)
            continue
        low, high, part = neighbours(x.shape[axis], size, call.has["align_corners"])
        part = part if axis == 2 else part[:, None]
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


def nearest(side: int, size: int) -> np.ndarray:
    """[size]: the pixel that each output takes. In float32, as torch reckons: in float64 some would differ."""
    scale = np.float32(side) / np.float32(size)
    return np.minimum((np.arange(size, dtype=np.float32) * scale).astype(np.int64), side - 1)


def neighbours(side: int, size: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output position: its lower and upper neighbour, and the share of the upper one."""
    if align_corners:
        position = np.arange(size) * ((side - 1) / (size - 1) if size > 1 else 0.0)
    else:
        position = np.maximum((np.arange(size) + 0.5) * (side / size) - 0.5, 0.0)
    low = np.minimum(position.astype(np.int64), side - 1)
    return low, np.minimum(low + 1, side - 1), position - low


ROOM = Room(
    kind="resize",
    shape=_shape,
    run=_run,
    attributes={"size": (1, 1), "mode": "bilinear", "align_corners": False},
)
