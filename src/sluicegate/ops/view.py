"""Views: the same numbers under other sides.

Most cost nothing: the channels stay what they are. `flatten` of a plane is the program's `reshape`, and a view that follows
a transposition of channels is its `shuffle` (ShuffleNet). What tears channels and pixels apart is a reshape through
which no gate is followed.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.layout import (
    VECTOR,
    Layout,
    axis,
    channel_count,
    default_layout,
    layout_of,
    pixel_count,
    pixel_sides,
    renumbered,
    storage,
)
from sluicegate.ops.links import Link, Mixed, Sources, each
from sluicegate.ops.room import Call, Room
from sluicegate.ops.slice import with_sides


def _view(node: fx.Node, x: fx.Node, *sides: Any, **named: Any) -> Call | None:
    out = shape(node)[1:]
    if not out or shape(node)[0] != shape(x)[0] or not layout_of(x).channels:
        return None
    layout = layout_of(x)
    if not layout.in_order and layout.pixels and max(layout.pixels) < min(layout.channels):
        return _of_channels_last(node, x, out)
    groups = _transposed(x)
    if groups is None:
        return None
    after = _divided(channel_count(x), pixel_sides(x), out)
    same = math.prod(out[side - 1] for side in after.channels) == channel_count(x)
    if groups > 1:
        return Call("shuffle", (x,), {"groups": groups}, layout=after) if same else None
    return _call(x, after, out)


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
    """The groups of the shuffle that brings channels into memory order: 1 where they are; None where none does."""
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


def _permute(node: fx.Node, x: fx.Node, *dims: Any, **named: Any) -> Call | None:
    order = named.get("dims", dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)
    return _moved(x, [axis(x, dim) for dim in order])


def _transpose(node: fx.Node, x: fx.Node, dim0: int, dim1: int) -> Call | None:
    order = list(range(len(shape(x))))
    a, b = axis(x, dim0), axis(x, dim1)
    order[a], order[b] = order[b], order[a]
    return _moved(x, order)


def _moved(x: fx.Node, order: list[int]) -> Call | None:
    if order[0] != 0:
        return None
    return Call("identity", (x,), layout=renumbered(layout_of(x), {old: new for new, old in enumerate(order)}))


def _unsqueeze(node: fx.Node, x: fx.Node, dim: int) -> Call | None:
    side = dim % len(shape(node))
    place = {old: old + (old >= side) for old in range(len(shape(x)))}
    return Call("identity", (x,), layout=with_sides(x, place, len(shape(node)))) if side else None


def _squeeze(node: fx.Node, x: fx.Node, dim: Any = None) -> Call | None:
    if dim is None:
        return None
    gone = {axis(x, side) for side in ((dim,) if isinstance(dim, int) else dim)}
    gone = {side for side in gone if shape(x)[side] == 1}
    kept = [side for side in range(len(shape(x))) if side not in gone]
    layout = renumbered(layout_of(x), {old: new for new, old in enumerate(kept)})
    return Call("identity", (x,), layout=layout) if 0 not in gone and layout.channels else None


def _expand(node: fx.Node, x: fx.Node, *sides: Any) -> Call | None:
    """Repeats the one pixel of each channel; only a product looks through it."""
    if len(shape(x)) != len(shape(node)) or pixel_count(x) != 1 or channel_count(x) != _count(node, layout_of(x)):
        return None
    return Call("expand", (x,), layout=layout_of(x))


def _count(node: fx.Node, layout: Layout) -> int:
    return math.prod(shape(node)[side] for side in layout.channels)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    before, after = channel_count(call.inputs[0]), channel_count(node)
    if before == after:
        return (each(after),)
    pixels, rest = divmod(pixel_count(call.inputs[0]), pixel_count(node))
    if rest == 0 and after == before * pixels:  # flattened channel by channel
        return (Sources(np.repeat(np.arange(before), pixels), before),)
    return (Mixed(before, after),)


def _shuffle_links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    channels, groups = channel_count(node), call.attributes["groups"]
    return (Sources(np.arange(channels).reshape(groups, -1).T.reshape(-1), channels),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "reshape", call.inputs, {"shape": storage(node)})


def _lower_shuffle(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "shuffle", call.inputs, call.attributes)


ROOM = Room(
    "reshape",
    functions={
        torch.flatten: _flatten,
        torch.reshape: _view,
        torch.permute: _permute,
        **dict.fromkeys((torch.transpose, torch.swapaxes), _transpose),
        torch.unsqueeze: _unsqueeze,
        torch.squeeze: _squeeze,
    },
    methods={
        **dict.fromkeys(("view", "reshape", "unflatten"), _view),
        "flatten": _flatten,
        "permute": _permute,
        **dict.fromkeys(("transpose", "swapaxes"), _transpose),
        "unsqueeze": _unsqueeze,
        "squeeze": _squeeze,
    },
    modules={nn.Flatten: _flatten_module, nn.Unflatten: _flatten_module},
    links=_links,
    zeros="each",
    lower=_lower,
)
SHUFFLE = Room(
    "shuffle",
    modules={nn.ChannelShuffle: lambda node, module, input: Call("shuffle", (input,), {"groups": module.groups})},
    links=_shuffle_links,
    zeros="each",
    lower=_lower_shuffle,
)
EXPAND = Room("expand", methods=dict.fromkeys(("expand", "expand_as"), _expand), links=_links, zeros="each",
              lower=lambda lowering, node, call: lowering.alias(node, call.inputs[0]))  # fmt: skip
