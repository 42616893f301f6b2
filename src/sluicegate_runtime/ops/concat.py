"""Values behind one another along the channels: planes of one size, or vectors.

A channel of the output is closed by what closes it in its input, or is always open.
"""

import numpy as np

from sluicegate_runtime.channels import OPEN
from sluicegate_runtime.ops.frame.limits import MAX_INPUTS
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _shape(given: Given) -> Shape:
    given.require(len({value.shape[1:] for value in given.inputs}) == 1, "joins planes of different sizes")
    return (sum(value.shape[0] for value in given.inputs), *given.inputs[0].shape[1:])


def _channels(given: Given, out: np.ndarray) -> None:
    joined = np.concatenate([given.map(position) for position in range(len(given.inputs))])
    match(given, out, np.where(out == OPEN, OPEN, joined))


def _run(call: Call) -> np.ndarray:
    return np.concatenate(call.inputs)


ROOM = Room(kind="concat", shape=_shape, run=_run, channels=_channels, inputs=range(1, MAX_INPUTS + 1))
