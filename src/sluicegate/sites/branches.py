"""Residual branches, found by structure.

A residual branch hangs between a fork and a sum: the fork is the sum's immediate dominator (the last value that
everything it adds depends on), the branch is one of the summands, and nobody outside looks into it. Of the summands the
one with the fewest layers is the shortcut; each that has more is a branch: two of x + f(x) + g(x), however long they
are.
"""

from dataclasses import dataclass
from itertools import takewhile

from torch import fx

from sluicegate.graph import between, immediate_dominators
from sluicegate.ops import call_of, channel_count, kind_of

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
    """Every residual branch, in order of execution."""
    graph = graph_module.graph
    dominators = immediate_dominators(graph)
    order = {node: i for i, node in enumerate(graph.nodes)}
    found: dict[str, Branch] = {}
    for total in graph.nodes:
        if kind_of(total) != "add" or _is_summand(total):
            continue
        for branch in _branches_of(total, dominators, order):
            name = branch.name if branch.name not in found else branch.end.name
            found[name] = Branch(name, branch.fork, branch.end, branch.total, branch.nodes)
    return list(found.values())


def _is_summand(node: fx.Node) -> bool:
    """Whether a sum is only part of a larger one, which adds it once."""
    if len(node.users) != 1 or kind_of(total := next(iter(node.users))) != "add":
        return False
    return call_of(total).inputs.count(node) == 1  # type: ignore[union-attr]


def _summands(total: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    """What a sum of sums adds, each with the addition that it goes into."""
    call = call_of(total)
    assert call is not None
    found: list[tuple[fx.Node, fx.Node]] = []
    for x in call.inputs:
        found += _summands(x) if kind_of(x) == "add" and _is_summand(x) else [(x, total)]
    return found


def _branches_of(total: fx.Node, dominators: dict[fx.Node, fx.Node | None], order: dict[fx.Node, int]) -> list[Branch]:
    fork = dominators[total]
    summands = _summands(total)
    if fork is None:
        return []
    sides = [(end, addition, between(fork, end)) for end, addition in summands]
    layers = [sum(map(is_layer, nodes)) for _, _, nodes in sides]
    found = []
    for (end, addition, nodes), count in zip(sides, layers, strict=True):
        closed = all(user in nodes or user is addition for n in nodes for user in n.users)
        if count > min(layers) and closed:
            ordered = tuple(sorted(nodes, key=order.__getitem__))
            found.append(Branch(_common_name(ordered), fork, end, addition, ordered))
    return found


def name_of(node: fx.Node) -> str:
    """The module that a node calls, else its own name."""
    return str(node.target) if node.op == "call_module" else node.name


def _common_name(nodes: tuple[fx.Node, ...]) -> str:
    """The module that holds all of them: layer1.0 for layer1.0.conv1 and layer1.0.bn1; else the first one's name."""
    paths = [str(n.target).split(".")[:-1] for n in nodes if n.op == "call_module"]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared) or name_of(nodes[0])
