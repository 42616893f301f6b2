"""x (1 + weight n) + bias with n = |x_c| / (mean over channels of |x_c| + eps), |x_c| the length of a channel's pixels.

Source: global response norm of ConvNeXt V2 (Woo et al. 2023), section 3.2. No gate has a say.
"""

import numpy as np

from sluicegate_runtime.ops.frame.norms import check_norm, scaled
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, ungated


def _shape(given: Given) -> Shape:
    given.plane()
    return check_norm(given)


def _run(call: Call) -> np.ndarray:
    lengths = np.sqrt(np.square(call.x).sum((1, 2), keepdims=True))
    return call.x + scaled(call, call.x * lengths / (lengths.mean() + call.has["eps"]))


ROOM = Room(
    kind="response_norm",
    shape=_shape,
    run=_run,
    channels=ungated,
    attributes={"eps": 1e-6},
    tensors=("weight", "bias"),
)
