"""A sum of values of one shape, then an activation. An absent value adds nothing.

Any maps: an open channel of the output sums the inputs in which it is open.
"""

import numpy as np

from sluicegate_runtime.ops.frame.activations import MAY_ACTIVATE, activated, check_activation
from sluicegate_runtime.ops.frame.limits import MAX_INPUTS
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, free


def _shape(given: Given) -> Shape:
    check_activation(given)
    given.require(len({value.shape for value in given.inputs}) == 1, "adds values of different shapes")
    return given.inputs[0].shape


def _run(call: Call) -> np.ndarray:
    return activated(sum((x for x in call.inputs if x is not None), np.zeros(call.shape)), call.has)


ROOM = Room(
    kind="add",
    shape=_shape,
    run=_run,
    channels=free,
    attributes=MAY_ACTIVATE,
    inputs=range(2, MAX_INPUTS + 1),
    work=lambda given, shape: len(given.inputs) * int(np.prod(shape)),
    sums=True,
)
