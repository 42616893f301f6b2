"""One step of an LSTM, gates in torch's order.

    z = W [x; h] + b        c' = s(z_f) c + s(z_i) tanh(z_g)        h' = s(z_o) tanh(c')

The state is one vector [h; c]; without one h = c = 0, and W meets x alone. Counts the elements of W.

F features, H hidden.
"""

import numpy as np

from sluicegate_runtime.ops.frame.activations import sigmoid
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, ungated


def _shape(given: Given) -> Shape:
    features = given.vector()
    weight = given.tensor("weight")
    hidden = len(weight) // 4 if weight.ndim == 2 else 0
    columns = features + (hidden if len(given.inputs) == 2 else 0)
    fits = hidden > 0 and weight.shape == (4 * hidden, columns)
    given.require(fits, f"weight {weight.shape} must be [4 * hidden, in], or [4 * hidden, in + hidden] with a state")
    state = given.inputs[-1].shape if len(given.inputs) == 2 else (2 * hidden,)
    given.require(state == (2 * hidden,), f"state has shape {state}, must be ({2 * hidden},)")
    given.optional("bias", (4 * hidden,))
    return (2 * hidden,)


def _run(call: Call) -> np.ndarray:
    weight = call.tensors["weight"]  # [4H, F] or [4H, F + H]
    x, *state = call.inputs
    h, c = np.split(state[0], 2) if state else (np.zeros(0), np.zeros(len(weight) // 4))
    call.macs += weight.size
    i, f, g, o = np.split(weight @ np.concatenate([x, h]) + call.bias(len(weight)), 4)  # [H] each
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


ROOM = Room(
    kind="lstm",
    shape=_shape,
    run=_run,
    channels=ungated,
    tensors=("weight", "bias"),
    inputs=(1, 2),
    work=lambda given, shape: given.tensor("weight").size,
)
