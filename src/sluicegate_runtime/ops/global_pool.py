"""One number for each channel of a plane: its mean, the mean of its absolute values, or its maximum.

Where it is `counted`, as in a gate's head, it counts its open C * H * W.
"""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape

FUNCTIONS = {
    "mean": lambda x: x.mean((1, 2)),
    "abs": lambda x: np.abs(x).mean((1, 2)),
    "max": lambda x: x.max((1, 2)),
}


def _shape(given: Given) -> Shape:
    function = given.has["function"]
    given.require(function in FUNCTIONS, f"unknown function {function!r}; known: {', '.join(FUNCTIONS)}")
    return given.plane()[:1]


def _run(call: Call) -> np.ndarray:
    if call.has["counted"]:
        call.macs += int(call.opened.sum()) * prod(call.x.shape[1:])
    return FUNCTIONS[call.has["function"]](call.x)


ROOM = Room(
    kind="global_pool",
    shape=_shape,
    run=_run,
    attributes={"counted": False, "function": "mean"},
    work=lambda given, shape: prod(given.inputs[0].shape),
)
