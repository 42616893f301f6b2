"""Transposed convolution.

Legend: C input channels, O output channels, k kernel, H W input pixels.

    MACs = k_h k_w H W  sum over groups (open inputs * open outputs)
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import skip_init

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import is_plane
from sluicegate.ops.frame.lifting import filled
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Room, Weight, Work, Written, of_module, of_nodes, pair


def _module(node: fx.Node, module: nn.ConvTranspose2d, input: fx.Node, output_size: Any = None) -> Call | None:
    if output_size is not None:
        return None
    tensors = of_module(node, module, "weight", "bias")
    more = (module.stride, module.padding, module.output_padding, module.groups, module.dilation)
    sides = (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
    return _call(input, sides, tensors, *more)


def _function(
    node: fx.Node,
    input: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Call | None:
    tensors = {"weight": Weight(node=weight), **of_nodes(bias=bias)}
    return _call(input, shape(weight), tensors, stride, padding, output_padding, groups, dilation)


def _call(
    x: fx.Node,
    weight: tuple[int, ...],
    tensors: dict[str, Weight],
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Call | None:
    if len(weight) != 4 or not is_plane(x):
        return None
    windows = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    attributes = {name: pair(sides) for name, sides in windows.items()}
    return Call("transposed_conv", (x,), attributes | {"groups": groups, "kernel": weight[2:]}, tensors)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(shape(call.inputs[0])[1], shape(node)[1], call.attributes["groups"]),)


def _work(node: fx.Node, call: Call) -> Work:
    x = shape(call.inputs[0])
    unit = math.prod(call.attributes["kernel"]) * math.prod(x[2:])
    return Work("conv", unit, x[1], shape(node)[1], call.attributes["groups"])


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    attributes = {name: has for name, has in call.attributes.items() if name != "kernel"}
    lowering.emit(node, "transposed_conv", call.inputs, attributes, call.tensors, planes=True)


def _lift(op: Written) -> nn.Module:
    inputs, per_group, *kernel = op.tensors["weight"].shape
    given = {key: op.has[key] for key in ("stride", "padding", "output_padding", "dilation", "groups")}
    sizes = (inputs, per_group * op.has["groups"], tuple(kernel))
    return filled(skip_init(nn.ConvTranspose2d, *sizes, **given, bias="bias" in op.tensors), op)


ROOM = Room(
    "transposed_conv",
    functions={F.conv_transpose2d: _function, torch.conv_transpose2d: _function},
    modules={nn.ConvTranspose2d: _module},
    links=_links,
    map="any",
    work=_work,
    lower=_lower,
    lift=_lift,
)
