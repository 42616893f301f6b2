"""Pixels top + i * stride, left + j * stride of a plane, i and j below `size`."""

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_STRIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape


def _shape(given: Given) -> Shape:
    channels, *sides = given.plane()
    has = given.has
    for side, start, stride, size in zip(sides, (has["top"], has["left"]), has["stride"], has["size"], strict=True):
        given.require(1 <= stride <= MAX_STRIDE, f"stride {stride} is outside 1..{MAX_STRIDE}")
        last = start + (size - 1) * stride
        fits = size >= 1 and start >= 0 and last < side
        given.require(fits, f"{size} pixels from {start} on, every {stride}th, leave a side of {side}")
    return (channels, *has["size"])


def _run(call: Call) -> np.ndarray:
    starts = (call.has["top"], call.has["left"])
    rows, columns = (
        start + np.arange(size) * stride
        for start, stride, size in zip(starts, call.has["stride"], call.has["size"], strict=True)
    )
    return call.x[:, rows[:, None], columns]


ROOM = Room(kind="crop", shape=_shape, run=_run, attributes={"top": 0, "left": 0, "stride": (1, 1), "size": (1, 1)})
