"""(x - mean) / sqrt(variance + eps) over (C / groups, H, W), times weight, plus bias.

A group is open or closed as a whole: its mean would not be the same without some of its channels.
"""

import numpy as np

from sluicegate_runtime.ops.frame.norms import check_norm, scaled
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, keeps


def _shape(given: Given) -> Shape:
    channels, groups = given.inputs[0].shape[0], given.has["groups"]
    fits = groups > 0 and channels % groups == 0
    given.require(fits, f"{channels} channels are no multiple of {groups} groups")
    return check_norm(given)


def _channels(given: Given, out: np.ndarray) -> None:
    keeps(given, out)
    flags = out.reshape(given.has["groups"], -1)
    given.require((flags == flags[:, :1]).all(), "the channels of a group must share a flag")


def _run(call: Call) -> np.ndarray:
    x = call.x.reshape(call.has["groups"], -1)
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + call.has["eps"])
    return scaled(call, normed.reshape(call.shape))


ROOM = Room(
    kind="group_norm",
    shape=_shape,
    run=_run,
    channels=_channels,
    attributes={"groups": 1, "eps": 1e-5},
    tensors=("weight", "bias"),
)
