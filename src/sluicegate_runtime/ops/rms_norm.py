"""x / sqrt(mean of x^2 + eps) * weight, the mean over the channels at each pixel. No gate has a say.

Source: root mean square layer normalization (Zhang and Sennrich 2019), equation 4.
"""

import numpy as np

from sluicegate_runtime.ops.frame.norms import check_norm, scaled
from sluicegate_runtime.ops.frame.room import Call, Room, ungated


def _run(call: Call) -> np.ndarray:
    return scaled(call, call.x / np.sqrt(np.square(call.x).mean(0) + call.has["eps"]))


ROOM = Room(
    kind="rms_norm",
    shape=check_norm,
    run=_run,
    channels=ungated,
    attributes={"eps": 1e-6},
    tensors=("weight",),
)
