"""A softmax over some channels at each pixel: channels are seen as [outer, size, inner], and `size` adds up to 1.

No gate has a say.
"""

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, ungated


def _shape(given: Given) -> Shape:
    shape = given.inputs[0].shape
    parts = tuple(given.has[key] for key in ("outer", "size", "inner"))
    fits = min(parts) > 0 and parts[0] * parts[1] * parts[2] == shape[0]
    given.require(fits, f"outer x size x inner = {' x '.join(map(str, parts))} is not {shape[0]} channels")
    return shape


def _run(call: Call) -> np.ndarray:
    x = call.x.reshape(call.has["outer"], call.has["size"], call.has["inner"], -1)
    powers = np.exp(x - x.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).reshape(call.shape)


ROOM = Room(
    kind="softmax",
    shape=_shape,
    run=_run,
    channels=ungated,
    attributes={"outer": 1, "size": 1, "inner": 1},
)
