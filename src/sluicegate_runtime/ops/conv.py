"""Convolution, with what may follow it: a bias, a residual, an activation.

    y[o] = act(bias[o] + residual[o] + sum over c, i, j of weight[o, c, i, j] x[c, ...])

Counts kh * kw * OH * OW * sum over groups of (open inputs * open outputs), but for a norm (`counted` false). Where it
is skipped its output is act(residual); without a residual it is absent.

Zeros stand around the plane: `padding` above and left of it, `padding` + `extra_padding`, which may be negative, below
and right of it.

C channels of the input, O of the output, kh kw the kernel.
"""

from math import prod

import numpy as np

from sluicegate_runtime.ops.frame.activations import MAY_ACTIVATE, activated, check_activation
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, match
from sluicegate_runtime.ops.frame.windows import check_window, count_windows, padded, reaches, taps


def check_groups(given: Given, channels: int, per_group: int, out: int) -> None:
    """InputError unless groups divide the channels on either side."""
    groups = given.has["groups"]
    weight = given.tensor("weight").shape
    given.require(groups > 0 and channels == per_group * groups, f"weight {weight} x {groups} groups, {channels} in")
    given.require(out % groups == 0, f"{out} output channels are no multiple of {groups} groups")


def open_pairs(call: Call) -> int:
    """How many pairs of an open input and an open output channel meet, over all groups."""
    reads, writes = (flags.reshape(call.has["groups"], -1).sum(1) for flags in (call.opened, call.opens))
    return int(reads @ writes)


def _shape(given: Given) -> Shape:
    channels, height, width = given.plane()
    weight = given.tensor("weight")
    check_activation(given)
    fits = weight.ndim == 4 and min(weight.shape) > 0
    given.require(fits, f"weight {weight.shape} must be [out, in / groups, kh, kw]")
    out, per_group, *kernel = weight.shape
    check_groups(given, channels, per_group, out)
    norm = weight.shape == (given.has["groups"], 1, 1, 1)
    given.require(given.has["counted"] or norm, "only a norm, one weight a channel, may be left out of the count")
    given.optional("bias", (out,))
    reach = reaches((kernel[0], kernel[1]), given.has["dilation"])
    check_window(given, reach, given.has["stride"], given.has["dilation"])
    shape = (out, *count_windows(given, (height, width), reach))
    for residual in given.inputs[1:]:
        fits = residual.shape == shape
        given.require(fits, f"residual {residual.name!r} has shape {residual.shape}, must be {shape}")
    return shape


def _channels(given: Given, out: np.ndarray) -> None:
    if len(given.inputs) == 2:
        match(given, out, given.map(1))


def _run(call: Call) -> np.ndarray:
    has, weight = call.has, call.tensors["weight"]  # [O, C / groups, kh, kw]
    kernel, count = weight.shape[2:], call.shape[1:]
    x = padded(call.x, has["padding"], kernel, has["stride"], has["dilation"], count, 0.0)
    seen = taps(x, kernel, has["stride"], has["dilation"], count)  # [C, kh, kw, OH, OW]
    columns = seen.reshape(has["groups"], -1, prod(count))  # [groups, C / groups * kh * kw, OH * OW]
    rows = weight.reshape(has["groups"], -1, columns.shape[1])  # [groups, O / groups, C / groups * kh * kw]
    y = (rows @ columns).reshape(call.shape) + call.bias(len(weight))[:, None, None]
    if has["counted"]:
        call.macs += open_pairs(call) * prod(count) * prod(kernel)
    return activated(sum(call.inputs[1:], y), has)


def _skipped(call: Call) -> np.ndarray:
    return activated(call.inputs[1], call.has)


def _work(given: Given, shape: Shape) -> int:
    return given.tensor("weight").size * prod(shape[1:])


ROOM = Room(
    kind="conv",
    shape=_shape,
    run=_run,
    channels=_channels,
    attributes={
        "stride": (1, 1),
        "padding": (0, 0),
        "extra_padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "counted": True,
        **MAY_ACTIVATE,
    },
    tensors=("weight", "bias"),
    inputs=(1, 2),
    work=_work,
    skipped=_skipped,
    stands_in=1,
)
