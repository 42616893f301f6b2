"""A linear layer on a vector, then an activation: y = act(weight x + bias). Closed rows are not computed.

Counts open inputs * open outputs.
"""

import numpy as np

from sluicegate_runtime.ops.frame.activations import MAY_ACTIVATE, activated, check_activation
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, free


def _shape(given: Given) -> Shape:
    weight, x = given.tensor("weight"), given.inputs[0]
    check_activation(given)
    fits = weight.ndim == 2 and len(weight) > 0 and x.shape == (weight.shape[-1],)
    given.require(fits, f"weight {weight.shape} must be [out, in] for an input of shape {x.shape}")
    given.optional("bias", (len(weight),))
    return (len(weight),)


def _run(call: Call) -> np.ndarray:
    weight = call.tensors["weight"]  # [O, F]
    call.macs += int(call.opened.sum()) * int(call.opens.sum())
    return activated(weight @ call.x + call.bias(len(weight)), call.has)


ROOM = Room(
    kind="linear",
    shape=_shape,
    run=_run,
    channels=free,
    attributes=MAY_ACTIVATE,
    tensors=("weight", "bias"),
    work=lambda given, shape: given.tensor("weight").size,
)
