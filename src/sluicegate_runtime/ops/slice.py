"""Channels `start` to `start + size` of a vector or plane."""

import numpy as np

from sluicegate_runtime.ops.frame.room import Attributes, Call, Given, Room, Shape, match


def _span(has: Attributes) -> slice:
    return slice(has["start"], has["start"] + has["size"])


def _shape(given: Given) -> Shape:
    channels, *sides = given.inputs[0].shape
    start, size = given.has["start"], given.has["size"]
    given.require(0 <= start < channels, f"start {start} is outside 0..{channels - 1}")
    given.require(1 <= size <= channels - start, f"size {size} is outside 1..{channels - start}")
    return (size, *sides)


def _channels(given: Given, out: np.ndarray) -> None:
    match(given, out, given.map()[_span(given.has)])


def _run(call: Call) -> np.ndarray:
    return call.x[_span(call.has)]


ROOM = Room(kind="slice", shape=_shape, run=_run, channels=_channels, attributes={"start": 0, "size": 1})
