"""x where it is above 0, else x times the channel's slope; or one slope for all of them."""

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, column


def _shape(given: Given) -> Shape:
    slopes, shape = given.tensor("weight").shape, given.inputs[0].shape
    given.require(slopes in ((1,), shape[:1]), f"weight {slopes} must be (1,) or {shape[:1]}")
    return shape


def _run(call: Call) -> np.ndarray:
    return np.where(call.x > 0, call.x, column(call.tensors["weight"], call.x) * call.x)


ROOM = Room(kind="prelu", shape=_shape, run=_run, tensors=("weight",))
