"""The same elements in another shape, in the order in which [C, H, W] lies in memory.

Gated channels may be flattened: each becomes k adjacent ones, all closed by the same flag.
"""

from math import prod

import numpy as np

from sluicegate_runtime.channels import OPEN
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _shape(given: Given) -> Shape:
    shape, before = given.has["shape"], given.inputs[0].shape
    fits = len(shape) in (1, 3) and min(shape) > 0
    given.require(fits, f"shape {shape} must be (C, H, W) or (F,)")
    given.require(prod(shape) == prod(before), f"shape {shape} has not the {prod(before)} elements of {before}")
    return shape


def _channels(given: Given, out: np.ndarray) -> None:
    before = given.map()
    times, rest = divmod(len(out), len(before))
    if (before == OPEN).all() or rest:
        given.ungated()
        match(given, out, np.full(len(out), OPEN))
    else:
        match(given, out, np.repeat(before, times))


def _run(call: Call) -> np.ndarray:
    return call.x.reshape(call.shape)


ROOM = Room(kind="reshape", shape=_shape, run=_run, channels=_channels, attributes={"shape": ()})
