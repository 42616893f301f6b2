"""(C, H r, W r) -> (C r r, H, W): torch's `F.pixel_unshuffle`. What a channel becomes is closed as it is."""

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    factor = given.has["factor"]
    given.require(1 <= factor <= MAX_SIDE, f"factor {factor} is outside 1..{MAX_SIDE}")
    fits = height % factor == 0 and width % factor == 0
    given.require(fits, f"sides {height} x {width} are no multiples of {factor}")
    return channels * factor**2, height // factor, width // factor


def _channels(given: Given, out: np.ndarray) -> None:
    match(given, out, np.repeat(given.map(), given.has["factor"] ** 2))


def _run(call: Call) -> np.ndarray:
    r, (_, height, width) = call.has["factor"], call.shape
    parts = call.x.reshape(len(call.x), height, r, width, r)
    return parts.transpose(0, 2, 4, 1, 3).reshape(call.shape)


ROOM = Room(kind="pixel_unshuffle", shape=_shape, run=_run, channels=_channels, attributes={"factor": 1})
