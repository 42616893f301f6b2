"""The channel shuffle of ShuffleNet: out[c] = in[(c % groups) * (C / groups) + c // groups]."""

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match


def _sources(channels: int, groups: int) -> np.ndarray:
    """[C]: where each channel comes from."""
    return np.arange(channels).reshape(groups, -1).T.ravel()


def _shape(given: Given) -> Shape:
    shape, groups = given.inputs[0].shape, given.has["groups"]
    fits = groups > 0 and shape[0] % groups == 0
    given.require(fits, f"{shape[0]} channels are no multiple of {groups} groups")
    return shape


def _channels(given: Given, out: np.ndarray) -> None:
    match(given, out, given.map()[_sources(len(out), given.has["groups"])])


def _run(call: Call) -> np.ndarray:
    return call.x[_sources(len(call.x), call.has["groups"])]


ROOM = Room(kind="shuffle", shape=_shape, run=_run, channels=_channels, attributes={"groups": 1})
