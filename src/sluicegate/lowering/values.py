"""The values of a program under construction: their shapes, their channel maps, and what an op reads of them.

Where an op cannot have the map, or the shape, that a value has, a `select` or a `reshape` stands between.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, fx

from sluicegate.costs.liveness import Liveness
from sluicegate.errors import InputError
from sluicegate.graph import shape
from sluicegate.lowering.program_builder import ProgramBuilder
from sluicegate.ops import Call, call_of, channel_count, kind_of, pixel_sides, room_of
from sluicegate.ops.frame.links import OPEN, UNREAD, Flags
from sluicegate_runtime.program import Attribute


class Values:
    """All values so far.

    Attributes:
        names: which of them holds what a node computes.
    """

    def __init__(self, live: Liveness, program: ProgramBuilder) -> None:
        self.live, self.program = live, program
        self.names: dict[fx.Node, str] = {}

    def vector(self, name: str) -> str:
        """A value of one pixel as [C]."""
        return self.reshaped(name, self.program.values[name].shape[:1])

    def plane(self, node: fx.Node, name: str) -> str:
        """A node's value as [C, H, W]."""
        value = self.program.values[name]
        return name if len(value.shape) == 3 else self.reshaped(name, (value.shape[0], *plane_sides(node)))

    def reshaped(self, name: str, wanted: tuple[int, ...]) -> str:
        """A value in another shape, by one op for all who want it."""
        value = self.program.values[name]
        if value.shape == wanted:
            return name
        known = f"{name}.{'x'.join(map(str, wanted))}"
        if known not in self.program.values:
            if math.prod(value.shape) != math.prod(wanted):
                raise InputError(f"net: {name!r} is repeated over pixels in a way that the engine does not know")
            source = next(op for op in self.program.ops if op.output == name)
            flags = self.program.maps[name] if wanted[0] == value.shape[0] else np.full(wanted[0], OPEN)
            self.program.tensor(known, wanted, flags)
            self.program.add("reshape", (name,), known, {"shape": wanted}, {}, source.when, source.unless)
        return known

    def like(self, name: str, other: str) -> str:
        """A value in the shape of another."""
        return self.reshaped(name, self.program.values[other].shape)

    def inputs_as(
        self, node: fx.Node, inputs: Sequence[fx.Node], made: Flags, planes: bool, ungated: bool
    ) -> tuple[str, ...]:
        """The names of what an op reads, with the maps that it must have for what it makes."""
        room, call = room_of(node), call_of(node)
        assert room and call
        if not inputs:
            return ()
        reads = [self.plane(x, self.names[x]) if planes else self.names[x] for x in inputs]
        if len(reads) > 1 and len({len(self.program.values[name].shape) for name in reads}) > 1:
            reads = [self.plane(x, name) for x, name in zip(inputs, reads, strict=True)]
        if ungated:
            return tuple(self.opened(node, name) for name in reads)
        if room.map == "any" or room.links is None:
            return tuple(reads)
        links = room.links(node, call)
        return tuple(
            self.closed_as(node, name, self._wanted(link.pull(made), name, kind_of(node)))
            for link, name in zip(links, reads, strict=True)
        )

    def _wanted(self, pulled: Flags, name: str, kind: str) -> Flags:
        wanted = np.where(pulled == UNREAD, OPEN, pulled)
        if kind == "concat":  # what it makes may have all channels where a part lacks some
            return np.where(wanted == OPEN, self.program.maps[name], wanted)
        if kind == "slice":  # channels that it leaves out may be closed by anything
            return np.where(pulled == UNREAD, self.program.maps[name], wanted)
        return wanted

    def closed_as(self, node: fx.Node, name: str, wanted: Flags) -> str:
        """A value with another channel map: closed channels are left out, or zero."""
        if (self.program.maps[name] == wanted).all():
            return name
        value = self.program.tensor(f"{name}.select", self.program.values[name].shape, wanted)
        self.add(node, "select", (name,), value, {}, {})
        return value

    def opened(self, node: fx.Node, name: str) -> str:
        """A value that lacks no channel."""
        return self.closed_as(node, name, np.full(len(self.program.maps[name]), OPEN))

    def shape_made(self, node: fx.Node, kind: str, first: tuple[int, ...], planes: bool) -> tuple[int, ...]:
        """The shape of what an op makes whose first input has the shape `first`."""
        channels = channel_count(node)
        if kind == "global_pool" or (not first and kind == "constant"):
            return (channels,)
        if kind == "reshape":
            return stored(node)
        if planes:
            return (channels, *plane_sides(node))
        return (channels, *first[1:])

    def seen(self, x: fx.Node, head: Call) -> str:
        """What a convolution reads: a plane; of a vector that is looked at as a line, one row of one channel."""
        name = self.names[x]
        if head.kind == "conv" and shape(x)[1] != channel_count(x):
            open_name = self.opened(x, self.vector(name))
            return self.reshaped(open_name, (shape(x)[1], 1, math.prod(shape(x)[2:])))
        return self.plane(x, name)

    def add(
        self,
        node: fx.Node,
        kind: str,
        reads: tuple[str, ...],
        output: str,
        attributes: Mapping[str, Attribute],
        tensors: Mapping[str, Tensor],
    ) -> None:
        """An op that is skipped where a node is."""
        when = self.innermost(self.live.when[node])
        self.program.add(kind, reads, output, attributes, tensors, when, self.unless(node))

    def innermost(self, layers: frozenset[str]) -> tuple[str, ...]:
        """The layer gates that skip an op, but for those that skip one of these gates themselves."""
        implied = frozenset().union(*(self.live.sites_when.get(layer, frozenset()) for layer in layers))
        return tuple(sorted(layers - implied))

    def unless(self, node: fx.Node) -> tuple[str, ...]:
        """The exits that must be closed for a node to run."""
        return tuple(sorted(self.live.unless[node]))


def plane_sides(node: fx.Node) -> tuple[int, int]:
    """H and W of a node's value, 1 for sides that it lacks."""
    sides = (*(1,) * (2 - len(pixel_sides(node))), *pixel_sides(node))
    return sides[0], sides[1]


def stored(node: fx.Node) -> tuple[int, ...]:
    """[C, H, W], or [C] of one pixel."""
    sides = plane_sides(node)
    return (channel_count(node),) if math.prod(sides) == 1 else (channel_count(node), *sides)
