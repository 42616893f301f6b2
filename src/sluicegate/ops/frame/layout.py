"""Which sides of a value are channels and which are pixels.

Legend: N images, C channels, H W pixels, F features.

    [N, C, H, W]      channels (1,), pixels (2, 3)        [N, F]              channels (1,), pixels ()
    [N, H, W, C]      channels (3,), pixels (1, 2)        [N, g, C / g, H, W] channels (1, 2), pixels (3, 4)

Channels are numbered in the order of their dimensions in `channels`, the last one fastest. Views and permutations keep
these numbers: a permutation costs nothing until a view needs memory order.
"""

import math
from dataclasses import dataclass

from torch import fx

from sluicegate.graph import shape


@dataclass(frozen=True)
class Layout:
    """Sides of a value, by number; side 0 is that of the images."""

    channels: tuple[int, ...]
    pixels: tuple[int, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether memory holds channels first, then pixels, as the network numbers them."""
        sides = self.channels + self.pixels
        return sides == tuple(range(1, len(sides) + 1))


VECTOR, PLANE = Layout((1,)), Layout((1,), (2, 3))


def layout_of(node: fx.Node) -> Layout:
    """The layout that reading the network found for a node's value."""
    return node.meta.get("layout") or default_layout(len(shape(node)))


def default_layout(rank: int) -> Layout:
    """Of a value of which nothing else is known: the last two sides are pixels, all before them channels."""
    if rank < 3:
        return VECTOR
    first_pixel = max(2, rank - 2)
    return Layout(tuple(range(1, first_pixel)), tuple(range(first_pixel, rank)))


def channel_sides(node: fx.Node) -> tuple[int, ...]:
    """The lengths of the sides that are channels."""
    return tuple(shape(node)[side] for side in layout_of(node).channels)


def channel_count(node: fx.Node) -> int:
    """C."""
    return math.prod(channel_sides(node))


def pixel_sides(node: fx.Node) -> tuple[int, ...]:
    """The lengths of the sides that are pixels."""
    return tuple(shape(node)[side] for side in layout_of(node).pixels)


def pixel_count(node: fx.Node) -> int:
    """H W."""
    return math.prod(pixel_sides(node))


def is_plane(node: fx.Node) -> bool:
    """Whether a value is [N, C, H, W], as convolutions want it."""
    return layout_of(node) == PLANE and len(shape(node)) == 4


def axis(node: fx.Node, dim: int) -> int:
    """A side's number, counted from the front."""
    return dim % len(shape(node))


def storage(node: fx.Node) -> tuple[int, ...]:
    """A value's shape in a program: (C, H, W), or (C,) where there is one pixel."""
    pixels = pixel_sides(node)
    if math.prod(pixels) == 1:
        return (channel_count(node),)
    return (channel_count(node), *(1,) * (2 - len(pixels)), *pixels)


def renumbered(layout: Layout, place: dict[int, int]) -> Layout:
    """A layout when sides move: `place` says where each one that stays goes."""
    channels = tuple(place[side] for side in layout.channels if side in place)
    return Layout(channels, tuple(place[side] for side in layout.pixels if side in place))


def without(layout: Layout, gone: set[int]) -> Layout:
    """A layout when some sides are gone."""
    kept = [side for side in sorted((0, *layout.channels, *layout.pixels)) if side not in gone]
    return renumbered(layout, {side: i for i, side in enumerate(kept)})


def with_sides(x: fx.Node, place: dict[int, int], rank: int) -> Layout:
    """The layout of x when its sides go to `place`, and all others of `rank` are new and of length 1."""
    layout = renumbered(layout_of(x), place)
    new = [side for side in range(1, rank) if side not in place.values()]
    last = max(layout.channels)
    pixels = tuple(sorted((*layout.pixels, *(side for side in new if side > last))))
    return Layout((*(side for side in new if side < last), *layout.channels), pixels)
