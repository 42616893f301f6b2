"""Convolution.

Legend: N images, C input channels, O output channels, k kernel, H W output pixels.

    MACs = k_h k_w H W  sum over groups (open inputs * open outputs)
"""

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import skip_init

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import PLANE, Layout, channel_count, is_plane, layout_of
from sluicegate.ops.frame.lifting import filled
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Room, Weight, Work, Written, Zeros, of_module, of_nodes, pair

_LINE = Layout((1,), (2,))


def window(weight: Weight, node: fx.Node, x: fx.Node, has: dict[str, Any], tensors: dict[str, Weight]) -> Call | None:
    """The call of a convolution of a plane, or of a line, which is a plane of one row."""
    sides = len(has["kernel"])
    layout = PLANE if sides == 2 else _LINE
    if sides > 2 or len(shape(x)) != sides + 2 or not (is_plane(x) or (sides == 1 and layout_of(x).in_order)):
        return None
    stride, dilation = _row(has["stride"], sides, 1), _row(has["dilation"], sides, 1)
    kernel = _row(has["kernel"], sides, 1)
    padding, extra = has["padding"], (0, 0)
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        missing = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        padding, extra = (tuple(part) for part in zip(*(divmod(pixels, 2) for pixels in missing), strict=True))
    else:
        padding = _row(padding, sides, 0)
    attributes = {"stride": stride, "padding": padding, "extra_padding": extra, "dilation": dilation}
    attributes |= {"groups": has["groups"], "kernel": kernel}
    return Call("conv", (x,), attributes, {"weight": weight} | tensors, layout)


def with_pad(conv: Call, pad: Call) -> Call | None:
    """A convolution that takes in the pad before it: so much more padding on each side of the plane.

    None where the pad is not of zeros, or of as many as the kernel reaches over, which no program may have.
    """
    has, edges = conv.attributes, pad.attributes
    if edges["mode"] != "constant" or edges["fill"]:
        return None
    before = [p + edges[edge] for p, edge in zip(has["padding"], ("top", "left"), strict=True)]
    both = zip(has["padding"], has["extra_padding"], ("bottom", "right"), strict=True)
    behind = [p + extra + edges[edge] for p, extra, edge in both]
    reaches = [(k - 1) * d + 1 for k, d in zip(has["kernel"], has["dilation"], strict=True)]
    if any(max(zeros) >= reach for *zeros, reach in zip(before, behind, reaches, strict=True)):
        return None
    extra = tuple(b - a for a, b in zip(before, behind, strict=True))
    padding = {"padding": tuple(before), "extra_padding": extra}
    return replace(conv, inputs=pad.inputs, attributes={**has, **padding})


def _row(sides: Any, count: int, first: int) -> tuple[int, int]:
    if count == 1:
        return first, sides if isinstance(sides, int) else int(sides[0])
    return pair(sides)


def _module(node: fx.Node, module: nn.Module, x: fx.Node) -> Call | None:
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    if module.padding_mode != "zeros":
        return None
    has = {"kernel": module.kernel_size, "stride": module.stride, "padding": module.padding}
    has |= {"dilation": module.dilation, "groups": module.groups}
    tensors = of_module(node, module, "weight", "bias")
    return window(tensors.pop("weight"), node, x, has, tensors)


def _function(
    node: fx.Node,
    input: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call | None:
    if not isinstance(groups, int):  # as many as there are images
        return None
    has = {"kernel": shape(weight)[2:], "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return window(Weight(node=weight), node, input, has, of_nodes(bias=bias))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs = channel_count(call.inputs[0])
    looked_at_anew = inputs != shape(call.inputs[0])[1]  # the channels of a vector as the pixels of a line
    return (Mixed(inputs, shape(node)[1], 1 if looked_at_anew else call.attributes["groups"]),)


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if "bias" in call.tensors else "each"


def _work(node: fx.Node, call: Call) -> Work:
    unit = math.prod(call.attributes["kernel"]) * math.prod(shape(node)[2:])
    return Work("conv", unit, shape(call.inputs[0])[1], shape(node)[1], call.attributes["groups"])


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.convolution(node, call)


def is_depthwise(node: fx.Node, call: Call) -> bool:
    """Whether a convolution gives each channel filters of its own."""
    return call.attributes["groups"] == channel_count(call.inputs[0]) > 1


def _lift(op: Written) -> nn.Module:
    if not op.has["counted"]:
        return _norm(op)
    out, per_group, *kernel = op.tensors["weight"].shape
    given = {key: op.has[key] for key in ("stride", "dilation", "groups")}
    sizes = (per_group * op.has["groups"], out, tuple(kernel))
    (top, left), extra = op.has["padding"], op.has["extra_padding"]
    inside = (top, left) if not any(extra) else (0, 0)
    conv = filled(skip_init(nn.Conv2d, *sizes, **given, padding=inside, bias="bias" in op.tensors), op)
    return conv if not any(extra) else nn.Sequential(nn.ZeroPad2d((left, left + extra[1], top, top + extra[0])), conv)


def _norm(op: Written) -> nn.Module:
    """A norm that no convolution took in: its mean and variance are in its weights."""
    weight = op.tensors["weight"].flatten()
    norm = nn.BatchNorm2d(len(weight), eps=0.0)
    state = {"weight": weight, "bias": op.tensors.get("bias", torch.zeros_like(weight))}
    norm.load_state_dict(norm.state_dict() | state)
    return norm


ROOM = Room(
    "conv",
    functions={F.conv1d: _function, F.conv2d: _function, torch.conv2d: _function, torch.conv1d: _function},
    modules={nn.Conv1d: _module, nn.Conv2d: _module},
    links=_links,
    zeros=_zeros,
    map="any",
    work=_work,
    lower=_lower,
    lift=_lift,
)
