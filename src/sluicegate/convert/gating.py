"""Which places of a network get gates, and of what kind.

Legend: C channels, G gates.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from torch import fx

from sluicegate.convert.granularity import Granularity, channels_per_gate
from sluicegate.errors import InputError
from sluicegate.gates import BinConcrete, Estimator, Gate, GateSite, GumbelSoftmax, Head, PooledHead
from sluicegate.graph import module_of, shape
from sluicegate.ops import channel_count, kind_of
from sluicegate.sites import (
    Branch,
    Channels,
    Places,
    channels_at,
    find_branch_ends,
    find_branch_inputs,
    find_branches,
    find_channels,
    find_concatenations,
    find_growths,
    name_of,
)

HeadFactory = Callable[[int, Sequence[int]], Head]
"""(C of what the head reads, outputs of each layer on top) -> head; `functools.partial(PooledHead, hidden=8)` is
one."""


@dataclass(frozen=True)
class Masked:
    """A value to mask: for all its readers, or only for the named `users`."""

    value: fx.Node
    users: tuple[fx.Node, ...] | None = None


@dataclass(frozen=True)
class Placement:
    """One gate to insert: what it reads, the values that each of its sites masks, and the gate itself; an exit's with
    the classifier that reads what the gate reads."""

    name: str
    reads: fx.Node
    masks: tuple[tuple[Masked, ...], ...]
    gate: Gate
    classifier: fx.GraphModule | None = None


class Gating(ABC):
    """A way to gate a network."""

    @abstractmethod
    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        """The gates to insert into a traced network.

        The network has an empty `gates` (ModuleDict) already, for what several gates share; what gates compute together
        may be added to its graph.

        Raises:
            InputError: the network has no such place, or a gate there would give wrong results.
        """


@dataclass(frozen=True)
class ChannelGating(Gating):
    """Gates on channels, with a head of its own at each site.

    Args:
        at: where to put masks; one of these, or a list of them.
            "mid": the channels between two convolutions of a residual branch, masked after the activation. Saves
            outputs of the first convolution and inputs of the second.
            "all": every such place, inside and outside of branches.
            "out": the end of a branch, before the sum with the shortcut. Saves outputs.
            "inp": the input of a branch; the shortcut is not masked. Saves inputs.
            "concat": every concatenation.
            "growth": the channels that a dense layer adds to a concatenation, except the first layer of a block. Saves
            outputs.
            The name of a module: after this module.
        granularity: number of adjacent channels that share a gate, for all sites or by site name (default 1). It must
            divide the channels of every site. Or `MacsPerGate`.
        estimator: copied for each site.
        head: makes the heads.
        initial_open_rate: probability with which a gate starts open. No paper states it. At 0.88, a common
            choice, its noise costs a quarter of the accuracy of a short training (docs/dlcg.md).
        keep_open: number of gates that are always open at places outside of residual branches, where no shortcut
            replaces closed channels (stochastic gates, section 4.2).
        where: only places whose name fits this pattern, such as "layer3.*", or for which this function returns True,
            such as `lambda channels: channels.count >= 64`.
    """

    at: str | Sequence[str] = "mid"
    granularity: Granularity = 1
    estimator: Estimator = field(default_factory=BinConcrete)
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97
    keep_open: int = 0
    where: str | Callable[[Channels], bool] | None = None

    def channels(self, graph_module: fx.GraphModule) -> list[Channels]:
        """The places themselves, in order of execution for each entry of `at`."""
        found = [c for at in ([self.at] if isinstance(self.at, str) else self.at) for c in _places(graph_module, at)]
        names = [c.name for c in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise InputError(f"at: {self.at!r} names the channels of {twice!r} twice")
        return _where(found, self.where)

    def site(self, channels: Channels) -> GateSite:
        """Describe the gates of one place."""
        gates = channels.count // channels_per_gate(channels, self.granularity)
        keep_open = 0 if channels.branch else self.keep_open
        if not 0 <= keep_open <= gates:
            raise InputError(f"keep_open: {keep_open} is not in 0..{gates}, the gates of {channels.name!r}")
        return GateSite(
            channels.name, "channel", gates, channels.count, channels.reads.name, channels.value.name, keep_open
        )

    def served(self, channels: Channels) -> "Served":
        """Describe what a head does for one place."""
        return Served(self.site(channels), masked(channels), self.estimator)

    def placement(self, channels: Channels) -> Placement:
        """The gates of one place, with a head of their own."""
        return _placement(channels.name, channels.reads, [self.served(channels)], self.head, self.initial_open_rate)

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        return [self.placement(channels) for channels in self.channels(graph_module)]


@dataclass(frozen=True)
class SharedGating(Gating):
    """Channel gates that identical layers share (stochastic gates, section S1.3, "locked" gates).

    Residual branches with the same convolutions on planes of the same size are identical. Channel c at the same place
    of each of them has one common gate. A branch without an identical one, such as the first of a stage, and places
    outside of branches have their own gates.

    Args:
        channel: which channels, and how they are gated. A shared gate reads the input of its first branch.
    """

    channel: ChannelGating = field(default_factory=ChannelGating)

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
        locked: dict[tuple[Any, ...], list[Channels]] = {}
        for channels in sorted(self.channel.channels(graph_module), key=lambda channels: order[channels.reads]):
            locked.setdefault(_layer(graph_module, channels), []).append(channels)
        return [self._placement(group) for group in locked.values()]

    def _placement(self, group: list[Channels]) -> Placement:
        first, gating = group[0], self.channel
        served = gating.served(first)._replace(masked=tuple(place for channels in group for place in masked(channels)))
        return _placement(first.name, first.reads, [served], gating.head, gating.initial_open_rate)


@dataclass(frozen=True)
class LayerGating(Gating):
    """One gate for each residual branch, which runs or is skipped (ConvNet-AIG).

    Args:
        estimator, head, initial_open_rate: as for `ChannelGating`.
        where: only branches whose name fits this pattern, or for which this function returns True.
    """

    estimator: Estimator = field(default_factory=GumbelSoftmax)
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97
    where: str | Callable[[Branch], bool] | None = None

    def branches(self, graph_module: fx.GraphModule) -> list[Branch]:
        """The branches themselves, in order of execution."""
        return _where(branches_of(graph_module), self.where)

    def site(self, branch: Branch) -> GateSite:
        """Describe the gate of one branch."""
        return GateSite(branch.name, "layer", 1, 1, branch.fork.name, branch.end.name)

    def served(self, branch: Branch) -> "Served":
        """Describe what a head does for one branch."""
        return Served(self.site(branch), (Masked(branch.end),), self.estimator)

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        return [
            _placement(b.name, b.fork, [self.served(b)], self.head, self.initial_open_rate)
            for b in self.branches(graph_module)
        ]


@dataclass(frozen=True)
class JointGating(Gating):
    """One head per residual branch that decides whether it runs, and then which of its channels (DLCG section 3.2).

    Args:
        channel: which channels, and their estimator; its head is used alone at places
            outside of these branches.
        layer: the layer gate's estimator.
        head: makes the joint heads.
        initial_open_rate: probability with which layer and channel gates start open.
    """

    channel: ChannelGating = field(default_factory=ChannelGating)
    layer: LayerGating = field(default_factory=lambda: LayerGating(estimator=BinConcrete()))
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        channels, branches = self.channel.channels(graph_module), self.layer.branches(graph_module)
        gated = {branch.name for branch in branches}
        joint = [self._joint(branch, channels) for branch in branches]
        return [self.channel.placement(c) for c in channels if not c.branch or c.branch.name not in gated] + joint

    def _joint(self, branch: Branch, channels: list[Channels]) -> Placement:
        inside = [c for c in channels if c.branch and c.branch.name == branch.name]
        served = [self.layer.served(branch), *map(self.channel.served, inside)]
        return _placement(branch.name, branch.fork, served, self.head, self.initial_open_rate)


class Served(NamedTuple):
    """What a head does for one site: the estimator is copied."""

    site: GateSite
    masked: tuple[Masked, ...]
    estimator: Estimator


_Found = TypeVar("_Found", Channels, Branch)


def _where(found: list[_Found], where: str | Callable[[_Found], bool] | None) -> list[_Found]:
    """Those that the caller wants.

    Raises:
        InputError: there are none.
    """
    if where is None:
        return found
    fits = where if callable(where) else lambda place: fnmatchcase(place.name, where)
    if not (wanted := [place for place in found if fits(place)]):
        raise InputError(f"where: {where!r} fits none of {len(found)} places, of which one is {found[0].name!r}")
    return wanted


def masked(channels: Channels) -> tuple[Masked, ...]:
    """What closing these channels masks."""
    return tuple(Masked(value, channels.users) for value in (channels.value, *channels.also))


def branches_of(graph_module: fx.GraphModule) -> list[Branch]:
    """The residual branches of a network.

    Raises:
        InputError: it has none.
    """
    branches = find_branches(graph_module)
    if not branches:
        raise InputError("net: it has no residual branch, so there is no layer to gate")
    return branches


def _places(graph_module: fx.GraphModule, at: str) -> list[Channels]:
    """The channels that one entry of `at` stands for."""
    if at not in _FINDERS:
        return [channels_at(graph_module, at)]
    found = _FINDERS[at](graph_module)
    if not found:
        raise InputError(f"at: {at!r} finds no place for channel gates in this network{_nearest_miss(graph_module)}")
    return found


def _nearest_miss(graph_module: fx.GraphModule) -> str:
    """Why the first layer is no place, if it is none."""
    refused = [(name_of(layer), place.why_not) for layer, place in Places(graph_module).all.items() if place.why_not]
    return f"; behind {refused[0][0]!r} {refused[0][1]}" if refused else ""


def _layer(graph_module: fx.GraphModule, channels: Channels) -> tuple[Any, ...]:
    """Equal for the same place of identical branches."""
    branch = channels.branch
    if branch is None:
        return (channels.name,)
    place = (branch.fork, *branch.nodes).index(channels.producer)
    convolutions = [n for n in branch.nodes if kind_of(n) in ("conv", "linear", "transposed_conv")]
    return place, shape(branch.fork), *(str(module_of(graph_module, n)) for n in convolutions)


_FINDERS: dict[str, Callable[[fx.GraphModule], list[Channels]]] = {
    "mid": lambda graph_module: [c for c in find_channels(graph_module) if c.branch],
    "all": find_channels,
    "exp": lambda graph_module: [c for c in find_channels(graph_module) if c.branch],
    "out": find_branch_ends,
    "inp": find_branch_inputs,
    "concat": find_concatenations,
    "growth": find_growths,
}


def _placement(
    name: str, reads: fx.Node, served: Sequence[Served], head: HeadFactory, initial_open_rate: float
) -> Placement:
    outputs = [s.site.gates * s.estimator.logits_per_gate for s in served]
    estimators = copy.deepcopy([s.estimator for s in served])  # of one for several sites there stays one
    gate = Gate(head(channel_count(reads), outputs), [s.site for s in served], estimators, initial_open_rate)
    return Placement(name, reads, tuple(s.masked for s in served), gate)
