"""A product x * y that is shaped and closed like x.

y is of the shape of x; or (C,), one factor a channel; or (G,) with C a multiple of G, each factor for C / G adjacent
channels; or (1, H, W), one a pixel. It is not gated, or of C channels and gated as x is.
"""

import numpy as np

from sluicegate_runtime.channels import OPEN
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, column, keeps


def _shape(given: Given) -> Shape:
    x, y = given.inputs
    channels, *sides = x.shape
    factors = len(y.shape) == 1 and channels % y.shape[0] == 0
    fits = y.shape == x.shape or factors or (len(sides) == 2 and y.shape == (1, *sides))
    given.require(fits, f"factors {y.shape} fit neither the channels nor the pixels of {x.shape}")
    return x.shape


def _channels(given: Given, out: np.ndarray) -> None:
    keeps(given, out)
    x, y = given.map(0), given.map(1)
    fits = (y == OPEN).all() or np.array_equal(x, y)
    given.require(fits, f"factors {given.inputs[1].name!r} must not be gated, or as {given.inputs[0].name!r} is")


def _run(call: Call) -> np.ndarray:
    x, y = call.inputs
    if y.ndim == 3:
        return x * y
    return x * column(np.repeat(y, len(x) // len(y)), x)


ROOM = Room(kind="multiply", shape=_shape, run=_run, channels=_channels, inputs=(2,), plain="boost")
