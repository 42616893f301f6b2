"""Some adjacent channels of a value; of a `split` each part."""

import operator
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.crop import cropped
from sluicegate.ops.frame.layout import Layout, axis, channel_count, channel_sides, layout_of, with_sides, without
from sluicegate.ops.frame.lifting import Axes
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written, call_of


def _item(node: fx.Node, input: fx.Node, index: Any) -> Call | None:
    several = call_of(input)
    if several and several.kind == "split" and isinstance(index, int):
        start, size = several.attributes["parts"][index]
        x, side = several.inputs[0], several.attributes["side"]
        return _slice(x, start, size, without(layout_of(x), {side}) if several.attributes["drop"] else None)
    if not shape(input):
        return None
    return _indexed(node, input, index if isinstance(index, tuple) else (index,))


def _narrow(node: fx.Node, input: fx.Node, dim: int, start: int, length: int) -> Call | None:
    if layout_of(input).channels[:1] != (axis(input, dim),) or not isinstance(start, int):
        return None
    return _slice(input, start, length, None)


def _slice(x: fx.Node, start: int, size: int, layout: Layout | None) -> Call:
    inner = channel_count(x) // channel_sides(x)[0]
    return Call("slice", (x,), {"start": start * inner, "size": size * inner}, layout=layout)


def _indexed(node: fx.Node, x: fx.Node, index: tuple[Any, ...]) -> Call | None:
    """x[:, a:b], x[:, i], x[..., ::2, ::2], x[:, :, None, None]."""
    if Ellipsis in index:
        at = index.index(Ellipsis)
        missing = len(shape(x)) - sum(part is not None for part in index) + 1
        index = (*index[:at], *(slice(None),) * missing, *index[at + 1 :])
    if any(part is None for part in index):
        return _with_new_sides(x, index)
    if not all(isinstance(part, (slice, int)) for part in index) or index[0] != slice(None):
        return None
    cut = {side: part for side, part in enumerate(index) if part != slice(None)}
    if not cut:
        return Call("identity", (x,))
    if cut.keys() <= set(layout_of(x).pixels):
        return cropped(x, cut)
    if len(cut) > 1 or layout_of(x).channels[:1] != tuple(cut):
        return None
    ((side, part),) = cut.items()
    if isinstance(part, int):
        return (
            _slice(x, part % shape(x)[side], 1, without(layout_of(x), {side}))
            if len(layout_of(x).channels) > 1
            else None
        )
    start, stop, step = part.indices(shape(x)[side])
    return _slice(x, start, stop - start, None) if step == 1 and stop > start else None


def _with_new_sides(x: fx.Node, index: tuple[Any, ...]) -> Call | None:
    """Only new sides of length 1, which are pixels behind the channels and channels before them."""
    if any(part not in (None, slice(None)) for part in index):
        return None
    index = (*index, *(slice(None),) * (len(shape(x)) - sum(part is not None for part in index)))
    olds = [new for new, part in enumerate(index) if part is not None]
    return Call("identity", (x,), layout=with_sides(x, dict(enumerate(olds)), len(index)))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    start, size = call.attributes["start"], call.attributes["size"]
    return (Sources(np.arange(start, start + size), channel_count(call.inputs[0])),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "slice", call.inputs, call.attributes)


def _lift(op: Written) -> nn.Module:
    start = op.has["start"]
    return Axes((slice(None), slice(start, start + op.has["size"])))


ROOM = Room(
    "slice",
    functions={operator.getitem: _item, torch.narrow: _narrow},
    methods={"narrow": _narrow},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
