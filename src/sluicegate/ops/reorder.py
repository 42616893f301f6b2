"""Channels in another order than a shuffle makes, as where three sides are transposed. In the program slices, one
behind the other."""

from typing import Any

import numpy as np
from torch import fx

from sluicegate.ops.frame.layout import channel_count, channel_sides, layout_of
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room

MOST_SLICES = 64
"""More would be slower than what they are for."""


def in_memory_order(x: fx.Node) -> tuple[tuple[int, int], ...] | None:
    """The channels of x as its sides follow each other in memory: (start, size) of each run; None if they are many."""
    channels = layout_of(x).channels
    numbers = np.arange(channel_count(x)).reshape(channel_sides(x))
    sources = numbers.transpose(np.argsort(channels)).flatten()
    starts = np.flatnonzero(np.diff(sources, prepend=-2) != 1)
    sizes = np.diff(starts, append=len(sources))
    if len(starts) > MOST_SLICES:
        return None
    return tuple((int(sources[start]), int(size)) for start, size in zip(starts, sizes, strict=True))


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    sources = np.concatenate([np.arange(start, start + size) for start, size in call.attributes["runs"]])
    return (Sources(sources, channel_count(call.inputs[0])),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.reorder(node, call)


ROOM = Room("reorder", links=_links, zeros="each", map="open", lower=_lower)
