"""Product of two values: of one shape, or the second one a factor for each channel or for each pixel.

Where the first is zero its factor is not read: what squeeze-and-excitation says of a closed channel is no work either.
"""

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from sluicegate.graph import is_constant, shape
from sluicegate.ops.channel_affine import by_constant
from sluicegate.ops.frame.layout import channel_count, channel_sides, layout_of, pixel_sides
from sluicegate.ops.frame.lifting import Joining
from sluicegate.ops.frame.links import Link, Mixed, each
from sluicegate.ops.frame.room import Call, Room, Written, call_of


def _function(node: fx.Node, input: Any, other: Any) -> Call | None:
    numbers = [x for x in (input, other) if isinstance(x, (int, float))]
    nodes = [x for x in (input, other) if isinstance(x, fx.Node)]
    if numbers and nodes:
        return Call("affine", (nodes[0],), {"scale": float(numbers[0]), "shift": 0.0})
    if len(nodes) != 2:
        return None
    constants = [x for x in nodes if is_constant(x)]
    if len(constants) == 1:
        (x,) = (x for x in nodes if x not in constants)
        return by_constant(node, "weight", x, constants[0])
    nodes = [_before_expansion(x) for x in nodes]
    for x, factor in (nodes, nodes[::-1]):
        if shape(x) == shape(node) and layout_of(x).channels and _fits(x, factor):
            return Call("multiply", (x, factor), layout=layout_of(x))
    return None


def _before_expansion(x: fx.Node) -> fx.Node:
    """What `expand_as` repeats, which a product repeats by itself."""
    call = call_of(x)
    return call.inputs[0] if call and call.kind == "expand" else x


def _fits(x: fx.Node, factor: fx.Node) -> bool:
    """Whether a factor has x's channels, or one; and its pixels, or one; each at the same sides."""
    if len(shape(x)) != len(shape(factor)) or _long_channels(factor, factor) != _long_channels(factor, x):
        return False
    one = (1,) * len(pixel_sides(x))
    theirs = tuple(shape(factor)[side] for side in layout_of(x).channels)
    pixels = tuple(shape(factor)[side] for side in layout_of(x).pixels)
    same = theirs == channel_sides(x)
    return (same and pixels in (pixel_sides(x), one)) or (set(theirs) == {1} and pixels == pixel_sides(x) != one)


def _long_channels(x: fx.Node, like: fx.Node) -> list[int]:
    """Which sides of x, of more than one number, are channels in the layout of another value."""
    return [side for side in layout_of(like).channels if shape(x)[side] > 1]


def _divided(node: fx.Node, input: Any, other: Any) -> Call | None:
    if isinstance(other, (int, float)) and isinstance(input, fx.Node):
        return Call("affine", (input,), {"scale": 1.0 / other, "shift": 0.0})
    return None


def per_pixel(call: Call) -> bool:
    """Whether the factor is one a pixel."""
    x, factor = call.inputs
    return channel_count(factor) == 1 < channel_count(x)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    channels = channel_count(node)
    return each(channels), Mixed(1, channels) if per_pixel(call) else each(channels)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.product(node, call)


class Product(Joining):
    """x times factors: of one shape, one a channel (or for some adjacent ones), or one a pixel."""

    def forward(self, x: Tensor, factors: Tensor) -> Tensor:
        if factors.dim() == 2:
            factors = factors.repeat_interleave(x.shape[1] // factors.shape[1], 1)
            factors = factors.reshape(*factors.shape, *(1,) * (x.dim() - 2))
        return x * factors


def _lift(op: Written) -> nn.Module:
    return Product()


ROOM = Room(
    "multiply",
    functions={
        **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply), _function),
        **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), _divided),
    },
    methods={**dict.fromkeys(("mul", "mul_", "multiply"), _function), **dict.fromkeys(("div", "div_"), _divided)},
    links=_links,
    zeros="product",
    lower=_lower,
    lift=_lift,
)
