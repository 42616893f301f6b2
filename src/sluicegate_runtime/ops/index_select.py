"""Channels by number: out[c] = x[index[c]], and zero where index[c] is -1. The numbers are the op's weight, [O]."""

import numpy as np

from sluicegate_runtime.channels import OPEN
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _picked(channels: np.ndarray, index: np.ndarray, nothing: int) -> np.ndarray:
    """[C, ...] -> [O, ...]."""
    picked = channels[index.astype(int)]
    picked[index == -1] = nothing
    return picked


def _shape(given: Given) -> Shape:
    index, (channels, *sides) = given.tensor("weight"), given.inputs[0].shape
    given.require(index.ndim == 1 and index.size > 0, f"weight {index.shape} must be (O,)")
    wrong = index[~((index >= -1) & (index < channels) & (index == np.floor(index)))]
    given.require(not wrong.size, f"index {wrong[:1]} is none of -1 to {channels - 1}")
    return (len(index), *sides)


def _channels(given: Given, out: np.ndarray) -> None:
    match(given, out, _picked(given.map(), given.tensor("weight"), OPEN))


def _run(call: Call) -> np.ndarray:
    return _picked(call.x, call.tensors["weight"], 0)


ROOM = Room(kind="index_select", shape=_shape, run=_run, channels=_channels, tensors=("weight",))
