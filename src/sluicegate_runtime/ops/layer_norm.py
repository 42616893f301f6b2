"""(x - mean) / sqrt(variance + eps) over the channels at each pixel, times weight, plus bias. No gate has a say."""

import numpy as np

from sluicegate_runtime.ops.frame.norms import check_norm, scaled
from sluicegate_runtime.ops.frame.room import Call, Room, ungated


def _run(call: Call) -> np.ndarray:
    return scaled(call, (call.x - call.x.mean(0)) / np.sqrt(call.x.var(0) + call.has["eps"]))


ROOM = Room(
    kind="layer_norm",
    shape=check_norm,
    run=_run,
    channels=ungated,
    attributes={"eps": 1e-5},
    tensors=("weight", "bias"),
)
