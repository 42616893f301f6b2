"""(C, H, W) -> (1, H, W): the mean, maximum or sum over channels at each pixel. Closed channels count as zeros."""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, opens

FUNCTIONS = {"mean": np.mean, "max": np.max, "sum": np.sum}


def _shape(given: Given) -> Shape:
    function = given.has["function"]
    given.require(function in FUNCTIONS, f"unknown function {function!r}; known: {', '.join(FUNCTIONS)}")
    return (1, *given.plane()[1:])


def _run(call: Call) -> np.ndarray:
    return FUNCTIONS[call.has["function"]](call.x, axis=0, keepdims=True)


ROOM = Room(
    kind="channel_pool",
    shape=_shape,
    run=_run,
    channels=opens,
    attributes={"function": "mean"},
    work=lambda given, shape: prod(given.inputs[0].shape),
)
