"""An activation function by itself; `frame/activations.py` has them."""

import numpy as np

from sluicegate_runtime.ops.frame.activations import activate, check_activation
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape


def _shape(given: Given) -> Shape:
    check_activation(given, "function")
    return given.inputs[0].shape


def _run(call: Call) -> np.ndarray:
    return activate(call.x, call.has["function"], call.has["alpha"])


ROOM = Room(kind="activation", shape=_shape, run=_run, attributes={"function": "relu", "alpha": 0.0})
