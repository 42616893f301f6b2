"""A value in several parts, each some adjacent channels of it; each part is a `slice`."""

from itertools import accumulate
from typing import Any

import torch
from torch import fx

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import axis, layout_of
from sluicegate.ops.frame.room import Call, Room


def _chunk(node: fx.Node, input: fx.Node, chunks: int, dim: int = 0) -> Call | None:
    return _parts(node, input, dim)


def _split(node: fx.Node, input: fx.Node, split_size_or_sections: Any, dim: int = 0) -> Call | None:
    return _parts(node, input, dim)


def _unbind(node: fx.Node, input: fx.Node, dim: int = 0) -> Call | None:
    count = shape(input)[axis(input, dim)]
    return _several(input, axis(input, dim), [1] * count, drop=True)


def _parts(node: fx.Node, x: fx.Node, dim: int) -> Call | None:
    side = axis(x, dim)
    return _several(x, side, [part.shape[side] for part in node.meta["values"][0]])


def _several(x: fx.Node, side: int, sizes: list[int], drop: bool = False) -> Call | None:
    if layout_of(x).channels[:1] != (side,):
        return None
    starts = [0, *accumulate(sizes[:-1])]
    return Call("split", (x,), {"parts": tuple(zip(starts, sizes, strict=True)), "side": side, "drop": drop})


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    """Nothing: its parts are slices."""


ROOM = Room(
    "split",
    functions={torch.chunk: _chunk, torch.split: _split, torch.unbind: _unbind},
    methods={"chunk": _chunk, "split": _split, "unbind": _unbind},
    lower=_lower,
)
