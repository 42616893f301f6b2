"""How many adjacent channels share a gate.

Legend: C channels, g channels of a gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from torch import fx

from sluicegate.errors import InputError
from sluicegate.ops import call_of, room_of
from sluicegate.sites import Channels, is_layer
from sluicegate.sites.places import readers_of


@dataclass(frozen=True)
class MacsPerGate:
    """At each site, the smallest number of adjacent channels whose MACs reach this number; all channels if it is too
    high.

    A channel's MACs are those of the layers that make it and read it, with all other channels open. Small gates decide
    more finely, but each costs logits to compute and to train. This makes every gate save enough.

    Example:
        >>> gated = sg.gate_model(net, sg.ChannelGating(granularity=sg.MacsPerGate(500_000)), images)
    """

    macs: float

    def __post_init__(self) -> None:
        if not self.macs > 0:
            raise InputError(f"granularity: {self.macs} MACs per gate are not above 0")


Granularity = int | Mapping[str, int] | MacsPerGate
"""Adjacent channels that share a gate: at every site, by site name (1 where it is not named), or by their MACs."""


def channels_per_gate(channels: Channels, granularity: Granularity) -> int:
    """g at one place: a divisor of C, and a multiple of what a norm in between requires.

    Raises:
        InputError: it does not divide C.
    """
    if isinstance(granularity, MacsPerGate):
        fitting = [g for g in range(channels.unit, channels.count + 1, channels.unit) if channels.count % g == 0]
        each = macs_of_a_channel(channels)
        return next((g for g in fitting if g * each >= granularity.macs), channels.count)
    asked = granularity if isinstance(granularity, int) else granularity.get(channels.name, 1)
    shared = lcm(asked, channels.unit) if asked > 0 else asked
    if shared < 1 or channels.count % shared:
        raise InputError(f"granularity: {shared} does not divide the {channels.count} channels of {channels.name!r}")
    return shared


def macs_of_a_channel(channels: Channels) -> int:
    """MACs of the layers that make one channel of a place and read it, up to the next sum or layer."""
    readers = readers_of(channels.producer.graph)
    total, waiting, seen = 0, [channels.producer], set()
    while waiting:
        node = waiting.pop()
        if node in seen or (call := call_of(node)) is None or (room := room_of(node)) is None:
            continue
        seen.add(node)
        reads = node is not channels.producer and is_layer(node)
        if work := room.work(node, call):
            counted = work.kind in ("conv", "linear")
            total += counted * work.unit * (work.outputs if reads else work.inputs) // work.groups
        if not reads and call.kind != "add":
            waiting += _read_by(node, readers, channels)
    return total


def _read_by(node: fx.Node, readers: dict[fx.Node, list[fx.Node]], channels: Channels) -> list[fx.Node]:
    """Who reads a channel of a node: of a value that is masked for some users alone, these."""
    return list(channels.users) if node is channels.value and channels.users else readers.get(node, [])
