"""Linear layer: of a vector, or of each pixel's channels, where it is a 1x1 convolution.

Legend: F features in, O out.

    MACs = open inputs * open outputs, at each pixel
"""

from typing import Any

import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import skip_init

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, layout_of, pixel_count
from sluicegate.ops.frame.lifting import filled
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Room, Weight, Work, Written, Zeros, of_module, of_nodes


def _module(node: fx.Node, module: nn.Linear, input: fx.Node) -> Call | None:
    return _call(input, of_module(node, module, "weight", "bias"))


def _function(node: fx.Node, input: fx.Node, weight: fx.Node, bias: fx.Node | None = None) -> Call | None:
    return _call(input, {"weight": Weight(node=weight), **of_nodes(bias=bias)})


def _call(x: fx.Node, tensors: dict[str, Weight]) -> Call | None:
    last = len(shape(x)) - 1
    return Call("linear", (x,), {}, tensors) if layout_of(x).channels == (last,) else None


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(channel_count(call.inputs[0]), channel_count(node)),)


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if "bias" in call.tensors else "each"


def _work(node: fx.Node, call: Call) -> Work:
    return Work("linear", pixel_count(node), channel_count(call.inputs[0]), channel_count(node))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.convolution(node, call)


def _lift(op: Written) -> nn.Module:
    out, features = op.tensors["weight"].shape
    return filled(skip_init(nn.Linear, features, out, bias="bias" in op.tensors), op)


ROOM = Room(
    "linear",
    functions={F.linear: _function},
    modules={nn.Linear: _module},
    links=_links,
    zeros=_zeros,
    map="any",
    work=_work,
    lower=_lower,
    lift=_lift,
)
