"""(C r r, H, W) -> (C, H r, W r): torch's `F.pixel_shuffle`. The r * r channels of an output share its flag."""

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    factor = given.has["factor"]
    given.require(1 <= factor <= MAX_SIDE, f"factor {factor} is outside 1..{MAX_SIDE}")
    given.require(channels % factor**2 == 0, f"{channels} channels are no multiple of {factor} x {factor}")
    return channels // factor**2, height * factor, width * factor


def _channels(given: Given, out: np.ndarray) -> None:
    before = given.map().reshape(len(out), -1)  # [C, r r]
    given.require((before == before[:, :1]).all(), "channels that become one must share a flag")
    match(given, out, before[:, 0])


def _run(call: Call) -> np.ndarray:
    r, (channels, height, width) = call.has["factor"], call.shape
    parts = call.x.reshape(channels, r, r, height // r, width // r)
    return parts.transpose(0, 3, 1, 4, 2).reshape(call.shape)


ROOM = Room(kind="pixel_shuffle", shape=_shape, run=_run, channels=_channels, attributes={"factor": 1})
