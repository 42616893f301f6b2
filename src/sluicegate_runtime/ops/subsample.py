"""The parameter-free shortcut "A" of He et al. (2015): every stride-th pixel, zero channels before and after."""

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_STRIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, ungated


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    stride, before, after = (given.has[key] for key in ("stride", "before", "after"))
    given.require(0 < stride <= MAX_STRIDE, f"stride {stride} is outside 1..{MAX_STRIDE}")
    given.require(min(before, after) >= 0, f"before={before}, after={after}: added channels from 0")
    return (before + channels + after, -(-height // stride), -(-width // stride))


def _run(call: Call) -> np.ndarray:
    stride = call.has["stride"]
    kept = call.x[:, ::stride, ::stride]
    return np.pad(kept, ((call.has["before"], call.has["after"]), (0, 0), (0, 0)))


ROOM = Room(
    kind="subsample",
    shape=_shape,
    run=_run,
    channels=ungated,
    attributes={"stride": 2, "before": 0, "after": 0},
)
