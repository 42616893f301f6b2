"""Max pooling over windows."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Work, Written, pair


def _function(
    node: fx.Node,
    input: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Call | None:
    if return_indices or not is_plane(input):
        return None
    windows = {"kernel": kernel_size, "stride": stride if stride else kernel_size, "padding": padding}
    attributes = {name: pair(sides) for name, sides in (windows | {"dilation": dilation}).items()}
    return Call("max_pool", (input,), attributes | {"ceil": bool(ceil_mode)})


def _module(node: fx.Node, module: nn.MaxPool2d, input: fx.Node) -> Call | None:
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return _function(node, input, *sizes, module.ceil_mode, module.return_indices)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _work(node: fx.Node, call: Call) -> Work:
    return Work("pool", math.prod(shape(node)[1:]) * math.prod(call.attributes["kernel"]))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "max_pool", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module:
    kernel, stride, padding, dilation = (op.has[name] for name in ("kernel", "stride", "padding", "dilation"))
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=op.has["ceil"])


ROOM = Room(
    "max_pool",
    functions={F.max_pool2d: _function, torch.max_pool2d: _function},
    modules={nn.MaxPool2d: _module},
    links=_links,
    zeros="each",
    work=_work,
    lower=_lower,
    lift=_lift,
)
