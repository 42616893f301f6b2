"""Transposed convolution: torch's `F.conv_transpose2d`, then an activation.

Each input pixel (h, w) adds weight[c, o, i, j] x[c, h, w] at (h s - p + i d, w s - p + j d). Counts
kh * kw * H * W * sum over groups of (open inputs * open outputs), H W of the input.

C channels of the input, O of the output, kh kw the kernel.
"""

from math import prod

import numpy as np

from sluicegate_runtime.ops.conv import check_groups, open_pairs
from sluicegate_runtime.ops.frame.activations import MAY_ACTIVATE, activated, check_activation
from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, free
from sluicegate_runtime.ops.frame.windows import check_window, reaches


def _shape(given: Given) -> Shape:
    channels, *sides = given.plane()
    weight, has = given.tensor("weight"), given.has
    check_activation(given)
    fits = weight.ndim == 4 and min(weight.shape) > 0
    given.require(fits, f"weight {weight.shape} must be [in, out / groups, kh, kw]")
    rows, per_group, *kernel = weight.shape
    given.require(rows == channels, f"weight {weight.shape} must have a row for each of {channels} channels")
    given.require(has["groups"] > 0, f"{has['groups']} groups, must be 1 or more")
    check_groups(given, channels, channels // has["groups"], per_group * has["groups"])
    given.optional("bias", (per_group * has["groups"],))
    reach = reaches((kernel[0], kernel[1]), has["dilation"])
    check_window(given, reach, has["stride"], has["dilation"])
    return per_group * has["groups"], *(_side(given, axis, sides[axis], reach[axis]) for axis in (0, 1))


def _side(given: Given, axis: int, side: int, reach: int) -> int:
    stride, dilation, padding, extra = (
        given.has[key][axis] for key in ("stride", "dilation", "padding", "output_padding")
    )
    given.require(0 <= padding < reach, f"padding {padding} must be from 0, and less than the kernel's reach {reach}")
    fits = 0 <= extra < max(stride, dilation)
    given.require(fits, f"output_padding {extra} must be from 0, and less than the stride or the dilation")
    out = (side - 1) * stride - 2 * padding + reach + extra
    given.require(1 <= out <= MAX_SIDE, f"its output would have a side of {out}, outside 1..{MAX_SIDE}")
    return out


def _run(call: Call) -> np.ndarray:
    has, weight = call.has, call.tensors["weight"]
    groups, (sh, sw), (dh, dw), (ph, pw) = (has[key] for key in ("groups", "stride", "dilation", "padding"))
    channels, height, width = call.x.shape
    kernel = weight.shape[2:]
    x = call.x.reshape(groups, channels // groups, height * width)
    rows = weight.reshape(groups, channels // groups, -1)  # [groups, C / groups, O / groups * kh * kw]
    adds = (rows.transpose(0, 2, 1) @ x).reshape(call.shape[0], *kernel, height, width)  # [O, kh, kw, H, W]
    whole = np.zeros((call.shape[0], call.shape[1] + 2 * ph, call.shape[2] + 2 * pw))  # with what padding cuts off
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dh, j * dw
            whole[:, top : top + (height - 1) * sh + 1 : sh, left : left + (width - 1) * sw + 1 : sw] += adds[:, i, j]
    y = whole[:, ph : ph + call.shape[1], pw : pw + call.shape[2]] + call.bias(call.shape[0])[:, None, None]
    call.macs += open_pairs(call) * height * width * prod(kernel)
    return activated(y, has)


ROOM = Room(
    kind="transposed_conv",
    shape=_shape,
    run=_run,
    channels=free,
    attributes={
        "stride": (1, 1),
        "padding": (0, 0),
        "output_padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        **MAY_ACTIVATE,
    },
    tensors=("weight", "bias"),
    work=lambda given, shape: given.tensor("weight").size * prod(given.inputs[0].shape[1:]),
)
