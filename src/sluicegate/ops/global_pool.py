"""One figure a channel: the mean over its pixels, the mean of their sizes, or the largest.

Legend: N images, C channels, H W pixels.

    MACs = C H W where a gate's head asks, an addition for each number; the network's own pools are listed, not counted
"""

import math
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from sluicegate.gates.heads import pool, pool_sizes
from sluicegate.graph import shape
from sluicegate.ops.frame.layout import VECTOR, Layout, axis, channel_count, layout_of, pixel_count, without
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Work, Written

_OF_PIXELS = {"mean": "mean", "amax": "max", "max": "max"}


def _reduced(
    function: str, node: fx.Node, input: fx.Node, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Call | None:
    """torch's mean, amax, sum over some sides of a value."""
    if dim is None or dtype is not None:
        return None
    over = {axis(input, side) for side in ((dim,) if isinstance(dim, int) else dim)}
    layout = layout_of(input)
    after = layout if keepdim else without(layout, over)
    if over == set(layout.pixels) and function in _OF_PIXELS:
        return Call("global_pool", (input,), {"counted": False, "function": _OF_PIXELS[function]}, layout=after)
    if over == set(layout.channels):
        known = {"mean": "mean", "amax": "max", "sum": "sum"}[function]
        return Call("channel_pool", (input,), {"function": known}, layout=layout if keepdim else None)
    if function == "sum" and over == {layout.channels[0]} and len(layout.channels) > 1 and not keepdim:
        return Call("fold", (input,), {"parts": shape(input)[layout.channels[0]]}, layout=after)
    if function == "mean" and len(over) == 1 and over < set(layout.pixels):
        return _line_mean(node, input, over, after)
    return None


def _line_mean(node: fx.Node, x: fx.Node, over: set[int], after: Layout) -> Call | None:
    """The mean over rows or over columns is an average over windows of all of them."""
    if len(layout_of(x).pixels) != 2:
        return None
    sides = [shape(x)[side] if side in over else 1 for side in layout_of(x).pixels]
    has = {"kernel": tuple(sides), "stride": tuple(sides), "padding": (0, 0), "ceil": False, "count_padding": True}
    return Call("avg_pool", (x,), has, layout=after)


def _head(function: str, node: fx.Node, x: fx.Node) -> Call:
    """Of a gate's head; of a vector there is nothing to average."""
    if pixel_count(x) == 1 and function == "mean" and not layout_of(x).pixels:
        return Call("identity", (x,), layout=VECTOR)
    return Call("global_pool", (x,), {"counted": True, "function": function}, layout=VECTOR)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(call.inputs[0])),)


def _work(node: fx.Node, call: Call) -> Work:
    x = call.inputs[0]
    if call.attributes["counted"]:
        return Work("conv", pixel_count(x), channel_count(x))
    return Work("pool", math.prod(shape(x)[1:]))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "global_pool", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module | None:
    pools = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
    function = op.has["function"]
    return nn.Sequential(pools[function](1), nn.Flatten()) if function in pools else None


ROOM = Room(
    "global_pool",
    functions={
        pool: partial(_head, "mean"),
        pool_sizes: partial(_head, "abs"),
        **{getattr(torch, name): partial(_reduced, name) for name in ("mean", "amax", "sum")},
    },
    methods={name: partial(_reduced, name) for name in ("mean", "amax", "sum")},
    links=_links,
    zeros="each",
    work=_work,
    lower=_lower,
    lift=_lift,
)
