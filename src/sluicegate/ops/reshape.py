"""The same numbers under other sides.

Most views cost nothing: the channels stay what they are, and the call is an `identity`. `flatten` of a plane is a
reshape, and a view that follows a transposition of channels is a `shuffle` (ShuffleNet). What tears channels and pixels
apart is a reshape through which no gate is followed.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import (
    VECTOR,
    Layout,
    channel_count,
    default_layout,
    layout_of,
    pixel_count,
    pixel_sides,
    storage,
)
from sluicegate.ops.frame.lifting import View
from sluicegate.ops.frame.links import Link, Mixed, Sources, each
from sluicegate.ops.frame.room import Call, Room, Written
from sluicegate.ops.reorder import in_memory_order


def _view(node: fx.Node, x: fx.Node, *sides: Any, **named: Any) -> Call | None:
    out = shape(node)[1:]
    if not out or shape(node)[0] != shape(x)[0] or not layout_of(x).channels:
        return None
    layout = layout_of(x)
    if not layout.in_order and layout.pixels and max(layout.pixels) < min(layout.channels):
        return _of_channels_last(node, x, out)
    groups = _transposed(x)
    if groups is None:
        return _reordered(x, out)
    after = _divided(channel_count(x), pixel_sides(x), out)
    same = math.prod(out[side - 1] for side in after.channels) == channel_count(x)
    if groups > 1:
        return Call("shuffle", (x,), {"groups": groups}, layout=after) if same else None
    return _call(x, after, out)


def _reordered(x: fx.Node, out: tuple[int, ...]) -> Call | None:
    """A vector's sides, transposed at will, as one."""
    runs = in_memory_order(x) if pixel_count(x) == 1 and out[:1] == (channel_count(x),) else None
    return Call("reorder", (x,), {"runs": runs}, layout=_divided(channel_count(x), (), out)) if runs else None


def _call(x: fx.Node, after: Layout, out: tuple[int, ...]) -> Call:
    channels = math.prod(out[side - 1] for side in after.channels)
    pixels = tuple(out[side - 1] for side in after.pixels)
    flat = math.prod(pixels) == 1
    stored = (channels,) if flat else (channels, *(1,) * (2 - len(pixels)), *pixels)
    return Call("identity" if stored == storage(x) else "reshape", (x,), {}, layout=after)


def _of_channels_last(node: fx.Node, x: fx.Node, out: tuple[int, ...]) -> Call | None:
    """[N, H, W, C] -> [N, H W, C] and back."""
    if out[-1] != channel_count(x) or len(layout_of(x).channels) > 1 or len(out) > 3:
        return None
    return _call(x, Layout((len(out),), tuple(range(1, len(out)))), out)


def _transposed(x: fx.Node) -> int | None:
    """The groups of the shuffle that brings channels into memory order: 1 where they are; None if none does."""
    layout = layout_of(x)
    if layout.in_order or (pixel_count(x) == 1 and layout.channels == tuple(sorted(layout.channels))):
        return 1
    long = [side for side in layout.channels if shape(x)[side] > 1]
    if long == sorted(long) and (pixel_count(x) == 1 or max(layout.channels) < min(layout.pixels)):
        return 1
    if len(long) != 2 or (layout.pixels and pixel_count(x) > 1 and max(layout.channels) > min(layout.pixels)):
        return None
    return shape(x)[long[0]]


def _divided(channels: int, pixels: tuple[int, ...], out: tuple[int, ...]) -> Layout:
    """Which of the new sides are channels."""
    rank = len(out)
    if math.prod(pixels) == 1:
        ones = next((i for i, side in enumerate(reversed(out)) if side > 1), rank - 1)
        first_pixel = rank - min(ones, 2)
        return Layout(tuple(range(1, first_pixel + 1)), tuple(range(first_pixel + 1, rank + 1)))
    splits = [k for k in range(1, rank) if math.prod(out[:k]) == channels and rank - k <= 2]
    if splits:
        k = next((k for k in splits if out[k:] == pixels), splits[-1])
        return Layout(tuple(range(1, k + 1)), tuple(range(k + 1, rank + 1)))
    return VECTOR if rank == 1 else default_layout(rank + 1)


def _flatten(node: fx.Node, x: fx.Node, start_dim: int = 0, end_dim: int = -1) -> Call | None:
    return _view(node, x)


def _flatten_module(node: fx.Node, module: nn.Module, x: fx.Node) -> Call | None:
    return _view(node, x)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    before, after = channel_count(call.inputs[0]), channel_count(node)
    if before == after:
        return (each(after),)
    pixels, rest = divmod(pixel_count(call.inputs[0]), pixel_count(node))
    if rest == 0 and after == before * pixels:  # flattened channel by channel
        return (Sources(np.repeat(np.arange(before), pixels), before),)
    return (Mixed(before, after),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "reshape", call.inputs, {"shape": storage(node)})


def _lift(op: Written) -> nn.Module:
    return View(op.made)


ROOM = Room(
    "reshape",
    functions={torch.flatten: _flatten, torch.reshape: _view},
    methods={**dict.fromkeys(("view", "reshape", "unflatten"), _view), "flatten": _flatten},
    modules={nn.Flatten: _flatten_module, nn.Unflatten: _flatten_module},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
