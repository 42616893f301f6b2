"""Average pooling over windows."""

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
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Call | None:
    if divisor_override is not None or not is_plane(input):
        return None
    windows = {"kernel": kernel_size, "stride": stride if stride else kernel_size, "padding": padding}
    attributes: dict[str, Any] = {name: pair(sides) for name, sides in windows.items()}
    return Call("avg_pool", (input,), attributes | {"ceil": bool(ceil_mode), "count_padding": bool(count_include_pad)})


def _module(node: fx.Node, module: nn.AvgPool2d, input: fx.Node) -> Call | None:
    sizes = (module.kernel_size, module.stride, module.padding)
    return _function(node, input, *sizes, module.ceil_mode, module.count_include_pad, module.divisor_override)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _work(node: fx.Node, call: Call) -> Work:
    return Work("pool", math.prod(shape(node)[1:]) * math.prod(call.attributes["kernel"]))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "avg_pool", call.inputs, call.attributes, planes=True)


_BUILT_IN: Any = torch._C._nn  # pyright: ignore[reportAttributeAccessIssue]


def _lift(op: Written) -> nn.Module:
    return nn.AvgPool2d(*(op.has[name] for name in ("kernel", "stride", "padding", "ceil", "count_padding")))


ROOM = Room(
    "avg_pool",
    functions={F.avg_pool2d: _function, _BUILT_IN.avg_pool2d: _function},
    modules={nn.AvgPool2d: _module},
    links=_links,
    zeros="each",
    work=_work,
    lower=_lower,
    lift=_lift,
)
