"""Residual branches, found by structure.

A residual branch lies between a fork and a sum. The fork is the sum's immediate dominator, the last value on which all
summands depend. The branch is one of the summands, and nothing outside reads its inner values. The shortcut is the
summand with the fewest layers in a row, and among these the one with the fewest layers in all. Each summand with more
layers is a branch: x + f(x) + g(x) has two, of any length.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from torch import fx

from sluicegate.graph import between, immediate_dominators
from sluicegate.ops import call_of, channel_count, inputs_of, kind_of

_LAYERS = ("conv", "linear", "transposed_conv")


@dataclass(frozen=True)
class Branch:
    """The nodes after `fork` up to and with `end`, which `total` adds to the shortcut."""

    name: str
    fork: fx.Node
    end: fx.Node
    total: fx.Node
    nodes: tuple[fx.Node, ...]


def is_layer(node: fx.Node) -> bool:
    """Whether an op mixes channels by weights: a convolution that is not depthwise, or a linear layer."""
    call = call_of(node)
    if call is None or call.kind not in _LAYERS:
        return False
    return call.attributes.get("groups", 1) == 1 or call.attributes["groups"] != channel_count(call.inputs[0])


def find_branches(graph_module: fx.GraphModule) -> list[Branch]:
    """Every residual branch, in order of execution; no two have one name."""
    graph = graph_module.graph
    sums = _Sums(immediate_dominators(graph), {node: i for i, node in enumerate(graph.nodes)})
    found: dict[str, Branch] = {}
    for total in graph.nodes:
        if kind_of(total) == "add" and not sums.is_part(total):
            for branch in sums.branches_of(total):
                name = next(name for name in _names(branch) if name not in found)
                found[name] = replace(branch, name=name)
    return list(found.values())


@dataclass(frozen=True)
class _Sums:
    """Sums of sums, and the branches that they end.

    Attributes:
        dominators: of each node the last one on every path to it.
        order: of execution.
    """

    dominators: dict[fx.Node, fx.Node | None]
    order: dict[fx.Node, int]

    def is_part(self, node: fx.Node) -> bool:
        """Whether a sum is only part of a larger one, which adds it once and begins at the same fork."""
        if len(node.users) != 1 or kind_of(total := next(iter(node.users))) != "add":
            return False
        once = inputs_of(total).count(node) == 1
        return once and self.dominators[total] is self.dominators[node]

    def branches_of(self, total: fx.Node) -> Iterator[Branch]:
        """The summands that have more layers, in a row or in all, than the one that has the fewest."""
        fork = self.dominators[total]
        if fork is None:
            return
        sides = [(end, addition, between(fork, end)) for end, addition in self._summands(total)]
        layers = [(self._in_a_row(nodes), sum(map(is_layer, nodes))) for _, _, nodes in sides]
        for (end, addition, nodes), count in zip(sides, layers, strict=True):
            closed = all(user in nodes or (n is end and user is addition) for n in nodes for user in n.users)
            if count > min(layers) and closed:
                yield Branch("", fork, end, addition, tuple(sorted(nodes, key=self.order.__getitem__)))

    def _in_a_row(self, nodes: Collection[fx.Node]) -> int:
        """The most layers on a way through these nodes."""
        found: dict[fx.Node, int] = {}
        for node in sorted(nodes, key=self.order.__getitem__):
            before = max((found.get(x, 0) for x in node.all_input_nodes), default=0)
            found[node] = before + is_layer(node)
        return max(found.values(), default=0)

    def _summands(self, total: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
        """What a sum of sums adds, each with the addition that it goes into."""
        found: list[tuple[fx.Node, fx.Node]] = []
        for x in inputs_of(total):
            found += self._summands(x) if kind_of(x) == "add" and self.is_part(x) else [(x, total)]
        return found


def name_of(node: fx.Node) -> str:
    """The module that a node calls, else its own name."""
    return str(node.target) if node.op == "call_module" else node.name


def _names(branch: Branch) -> Iterator[str]:
    """Names for a branch: the module that contains all of it (layer1.0 for layer1.0.conv1 and layer1.0.bn1), otherwise
    its first op, or its last. Never one of its layers, because channel sites have the names of layers."""
    paths = [str(n.target).split(".")[:-1] for n in branch.nodes if n.op == "call_module"]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    if module := ".".join(parts[0] for parts in shared):
        yield module
    for name in (name_of(branch.nodes[0]), name_of(branch.end), branch.end.name):
        yield f"{name}.branch"
