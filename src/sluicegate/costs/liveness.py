"""What a closed gate makes superfluous, read off the gated graph.

Six questions about every value, each answered by one walk over the graph:

    zeroed    which gates have made channels of it zero      (forward: from a mask through what keeps zeros)
    needed    which gates decide whether its channels are read (backward: from a mask through what passes channels on)
    skipped   which layer gates, closed, leave it unread      (backward: those on every way to the output); and of
              which exit it is the classifier, which nobody reads where the gate of that is closed
    passed    which exits, open, end the image before it      (forward: those that stand before it in the graph)
    deciding  whether nothing but gates looks at it          (backward: a gater network's values)
    averaged  for which gate its input was averaged already  (forward: another that looks at the same value)

Costs and lowering both ask here, so what is counted is what is skipped.
"""

from dataclasses import dataclass

from torch import fx

from sluicegate.gates import Gate, GateSite, leave, mask_channels, mask_layer
from sluicegate.graph import Role, module_of, passes_zero, role

NO_LAYER: frozenset[str] = frozenset()
_ACTS_OF_GATES = (mask_channels, mask_layer, leave)


@dataclass(frozen=True)
class Liveness:
    """Answers by node; a value that is missing from `zeroed` or `needed` is not touched by any channel gate.

    Attributes:
        masks: where a gate acts on a value.
        exits: what an image that leaves is given.
        averaged: a gate -> the one before it whose averages its head is given.
    """

    masks: dict[fx.Node, GateSite]
    exits: dict[fx.Node, GateSite]
    zeroed: dict[fx.Node, str]
    needed: dict[fx.Node, str]
    skipped: dict[fx.Node, frozenset[str]]
    passed: dict[fx.Node, frozenset[str]]
    deciding: frozenset[fx.Node]
    averaged: dict[fx.Node, fx.Node]


def liveness(graph_module: fx.GraphModule) -> Liveness:
    """Walk a gated graph (or a plain one, where every answer is empty)."""
    masks = {n: _site(graph_module, n) for n in graph_module.graph.nodes if n.target in _ACTS_OF_GATES}
    exits = {n.all_input_nodes[0]: site for n, site in masks.items() if site.kind == "exit"}
    skipped = _skipped(graph_module, masks, exits)
    return Liveness(
        masks,
        exits,
        _zeroed(graph_module, masks),
        _needed(graph_module, masks),
        skipped,
        _passed(graph_module, exits),
        _deciding(graph_module),
        _averaged(graph_module, skipped),
    )


def _site(graph_module: fx.GraphModule, mask: fx.Node) -> GateSite:
    """A mask's second operand is the factor of decision i of what its gate returned."""
    factor = mask.all_input_nodes[1]
    decision = factor.all_input_nodes[0]
    gate = module_of(graph_module, decision.all_input_nodes[0])
    assert isinstance(gate, Gate)
    index = decision.args[1]
    assert isinstance(index, int)
    return gate.sites[index]


def _zeroed(graph_module: fx.GraphModule, masks: dict[fx.Node, GateSite]) -> dict[fx.Node, str]:
    found: dict[fx.Node, str] = {}
    for node in graph_module.graph.nodes:
        if node in masks and masks[node].kind == "channel":
            found[node] = masks[node].name
        elif passes_zero(graph_module, node) and node.all_input_nodes[0] in found:
            found[node] = found[node.all_input_nodes[0]]
    return found


def _needed(graph_module: fx.GraphModule, masks: dict[fx.Node, GateSite]) -> dict[fx.Node, str]:
    found: dict[fx.Node, str] = {}

    def read_by(user: fx.Node) -> str | None:
        if user in masks:
            return masks[user].name if masks[user].kind == "channel" else None
        return found.get(user) if role(graph_module, user) is Role.PASS else None

    for node in reversed(graph_module.graph.nodes):
        readers = {read_by(user) for user in node.users}
        if len(readers) == 1 and (site := readers.pop()):
            found[node] = site
    return found


def _skipped(
    graph_module: fx.GraphModule, masks: dict[fx.Node, GateSite], exits: dict[fx.Node, GateSite]
) -> dict[fx.Node, frozenset[str]]:
    found: dict[fx.Node, frozenset[str]] = {}
    for node in reversed(graph_module.graph.nodes):
        ways = [
            found[user] | {masks[user].name} if user in masks and masks[user].kind == "layer" else found[user]
            for user in node.users
        ]
        found[node] = frozenset.intersection(*ways) if ways else NO_LAYER
        if node in exits:
            found[node] |= {exits[node].name}
    return found


def _passed(graph_module: fx.GraphModule, exits: dict[fx.Node, GateSite]) -> dict[fx.Node, frozenset[str]]:
    found, passed = {}, NO_LAYER
    for node in graph_module.graph.nodes:
        found[node] = passed
        if node in exits:
            passed |= {exits[node].name}
    return found


def _deciding(graph_module: fx.GraphModule) -> frozenset[fx.Node]:
    found: set[fx.Node] = set()
    for node in reversed(graph_module.graph.nodes):
        readers = [user in found or isinstance(module_of(graph_module, user), Gate) for user in node.users]
        if node.op != "placeholder" and readers and all(readers):
            found.add(node)
    return frozenset(found)


def _averaged(graph_module: fx.GraphModule, skipped: dict[fx.Node, frozenset[str]]) -> dict[fx.Node, fx.Node]:
    found: dict[fx.Node, fx.Node] = {}
    first: dict[tuple[fx.Node, str, frozenset[str]], fx.Node] = {}
    for node in graph_module.graph.nodes:
        gate = module_of(graph_module, node)
        if isinstance(gate, Gate) and gate.head.averages:
            same = [(node.all_input_nodes[0], gate.head.averages, layers) for layers in (NO_LAYER, skipped[node])]
            before = next((first[key] for key in same if key in first), None)
            if before is None:
                first[same[-1]] = node
            else:
                found[node] = before
    return found
