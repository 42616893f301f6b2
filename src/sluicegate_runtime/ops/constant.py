"""The same vector or plane for every image: its bias."""

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, opens


def _shape(given: Given) -> Shape:
    shape = given.tensor("bias").shape
    given.require(len(shape) in (1, 3), f"bias has shape {shape}, must be (F,) or (C, H, W)")
    return shape


def _run(call: Call) -> np.ndarray:
    return call.tensors["bias"]


ROOM = Room(kind="constant", shape=_shape, run=_run, channels=opens, tensors=("bias",), inputs=(0,))
