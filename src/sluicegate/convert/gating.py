"""Which places of a network get gates, and of what kind.

Legend: C channels, G gates.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import fx

from sluicegate.errors import InputError
from sluicegate.gates import BinConcrete, Estimator, Gate, GateSite, GumbelSoftmax, Head, PooledHead
from sluicegate.graph import Branch, Channels, channels_at, find_branches, find_channels, shape

HeadFactory = Callable[[int, Sequence[int]], Head]
"""(C of what the head reads, outputs of each layer on top) -> head; `functools.partial(PooledHead, hidden=8)` is
one."""


@dataclass(frozen=True)
class Placement:
    """One gate to insert: what it reads, the values that its sites mask, and the gate itself."""

    name: str
    reads: fx.Node
    masks: tuple[fx.Node, ...]
    gate: Gate


class Gating(ABC):
    """A way to gate a network."""

    @abstractmethod
    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        """The gates to insert into a traced network.

        Raises:
            InputError: the network has no such place, or a gate there would be wrong.
        """


@dataclass(frozen=True)
class ChannelGating(Gating):
    """Gates on channels, with a head of its own at each site.

    Args:
        at: "mid" for the channels between two convolutions of a residual branch (masked after the activation: saves the
            first one's outputs and the second one's inputs), "all" for every such place in a branch or out of one, or
            the names of the modules after which to mask.
        granularity: adjacent channels that share a gate; must divide the channels of every site.
        estimator: copied for each site.
        head: makes the heads.
        initial_open_rate: probability with which a gate starts out open. No paper states it; at 0.88, a common
            choice, its noise costs a quarter of the accuracy of a short training (docs/dlcg.md).
    """

    at: str | Sequence[str] = "mid"
    granularity: int = 1
    estimator: Estimator = field(default_factory=BinConcrete)
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97

    def channels(self, graph_module: fx.GraphModule) -> list[Channels]:
        """The places themselves, in order of execution."""
        if not isinstance(self.at, str):
            return [channels_at(graph_module, name) for name in self.at]
        if self.at not in ("mid", "all"):
            raise InputError(f"at: {self.at!r} must be 'mid', 'all' or a list of module names")
        found = [c for c in find_channels(graph_module) if self.at == "all" or c.branch]
        if not found:
            raise InputError(f"at: {self.at!r} finds no place for channel gates in this network")
        return found

    def site(self, channels: Channels) -> GateSite:
        """Describe the gates of one place."""
        if self.granularity < 1 or channels.count % self.granularity:
            raise InputError(
                f"granularity: {self.granularity} does not divide the {channels.count} channels of {channels.name!r}"
            )
        gates = channels.count // self.granularity
        return GateSite(channels.name, "channel", gates, channels.count, channels.reads.name, channels.value.name)

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        return [
            _placement(c.name, c.reads, [(self.site(c), c.value, self.estimator)], self.head, self.initial_open_rate)
            for c in self.channels(graph_module)
        ]


@dataclass(frozen=True)
class LayerGating(Gating):
    """One gate for each residual branch, which runs or is skipped (ConvNet-AIG).

    Args:
        estimator, head, initial_open_rate: as for `ChannelGating`.
    """

    estimator: Estimator = field(default_factory=GumbelSoftmax)
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97

    def site(self, branch: Branch) -> GateSite:
        """Describe the gate of one branch."""
        return GateSite(branch.name, "layer", 1, 1, branch.fork.name, branch.end.name)

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        return [
            _placement(b.name, b.fork, [(self.site(b), b.end, self.estimator)], self.head, self.initial_open_rate)
            for b in _branches(graph_module)
        ]


@dataclass(frozen=True)
class JointGating(Gating):
    """One head per residual branch that decides whether it runs, and then which of its channels (DLCG section 3.2).

    Args:
        channel: which channels, and their estimator; its head is used for places outside of any branch alone.
        layer: the layer gate's estimator.
        head: makes the joint heads.
        initial_open_rate: of layer and channel gates alike.
    """

    channel: ChannelGating = field(default_factory=ChannelGating)
    layer: LayerGating = field(default_factory=lambda: LayerGating(estimator=BinConcrete()))
    head: HeadFactory = PooledHead
    initial_open_rate: float = 0.97

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        channels = self.channel.channels(graph_module)
        joint = [self._joint(branch, channels) for branch in _branches(graph_module)]
        apart = [
            p for p in self.channel.placements(graph_module) if p.name in {c.name for c in channels if not c.branch}
        ]
        return apart + joint

    def _joint(self, branch: Branch, channels: list[Channels]) -> Placement:
        served = [(self.layer.site(branch), branch.end, self.layer.estimator)]
        inside = [c for c in channels if c.branch and c.branch.name == branch.name]
        served += [(self.channel.site(c), c.value, self.channel.estimator) for c in inside]
        return _placement(branch.name, branch.fork, served, self.head, self.initial_open_rate)


def _branches(graph_module: fx.GraphModule) -> list[Branch]:
    branches = find_branches(graph_module)
    if not branches:
        raise InputError("net: it has no residual branch, so there is no layer to gate")
    return branches


def _placement(
    name: str,
    reads: fx.Node,
    served: list[tuple[GateSite, fx.Node, Estimator]],
    head: HeadFactory,
    initial_open_rate: float,
) -> Placement:
    sites = [site for site, _, _ in served]
    estimators = [copy.deepcopy(estimator) for _, _, estimator in served]
    outputs = [site.gates * estimator.logits_per_gate for site, estimator in zip(sites, estimators, strict=True)]
    gate = Gate(head(shape(reads)[1], outputs), sites, estimators, initial_open_rate)
    return Placement(name, reads, tuple(value for _, value, _ in served), gate)
