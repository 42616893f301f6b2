"""What becomes one op: a layer with the zeros before it, and the norms, the sum and the activation behind it.

    [pad] -> conv                                    conv with more padding, perhaps on one side only
    conv -> [norm]* -> [activation]                  conv with folded weights, bias and activation
    conv -> [norm]* -> [layer mask] -> + shortcut    the same with a residual input
    norm -> [activation]                             conv of one weight a channel, left out of the count of MACs

Ops are fused only if nothing else reads the value in between, and if the same gates close the channels of both. Masks
are not ops: a channel mask says which flags close a value's channels, a layer mask which region is skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import fx

from sluicegate.costs import Liveness
from sluicegate.ops import Call, call_of, inputs_of, kind_of, pixel_count, storage
from sluicegate.ops.conv import with_pad

_FOLDED = ("channel_affine", "affine", "difference")
_HEADS = ("conv", "linear", "channel_affine")
_MASKS = ("select", "layer_mask")


@dataclass
class Fused:
    """A layer and the ops fused into it. The op is emitted at the last member, when all of its inputs exist.

    Attributes:
        head: the layer, or a norm that no layer stands before.
        call: what it does, with the pad before it.
        folded: what goes into its weights, in order.
        residual: what is added to it.
        activation: the activation's node.
    """

    head: fx.Node
    call: Call
    folded: list[fx.Node] = field(default_factory=list)
    residual: fx.Node | None = None
    activation: fx.Node | None = None
    members: list[fx.Node] = field(default_factory=list)

    @property
    def tail(self) -> fx.Node:
        """Whose value it makes."""
        return self.members[-1]


def fuse(graph: fx.Graph, live: Liveness) -> dict[fx.Node, Fused]:
    """Every node that goes into a fused layer -> that fusion."""
    found: dict[fx.Node, Fused] = {}
    for node in graph.nodes:
        if node not in found and kind_of(node) in _HEADS:
            fused = _grow(node, live, found)
            found.update(dict.fromkeys(fused.members, fused))
    return found


def is_vector_layer(node: fx.Node) -> bool:
    """Whether a layer is a product of a matrix and a vector: one pixel, one tap, no groups."""
    call = call_of(node)
    if call is None or pixel_count(call.inputs[0]) > 1 or pixel_count(node) > 1:
        return False
    if call.kind == "linear":
        return True
    has = call.attributes
    return call.kind == "conv" and set(has["kernel"]) == {1} and has["groups"] == 1 and storage(call.inputs[0])[0] > 1


def _grow(head: fx.Node, live: Liveness, taken: dict[fx.Node, Fused]) -> Fused:
    chain = _Chain(head, live, taken)
    before, call = _with_pad_before(head, live)
    fused = Fused(head, call)
    while step := chain.take(lambda node: kind_of(node) in _FOLDED):
        fused.folded.append(step)
    if not is_vector_layer(head):
        _absorb_sum(chain, fused)
    fused.activation = chain.take(lambda node: kind_of(node) == "activation")
    fused.members = [*before, *chain.members]
    return fused


def _with_pad_before(head: fx.Node, live: Liveness) -> tuple[list[fx.Node], Call]:
    """The zeros around what a convolution reads, and a mask between, if nothing else reads them and it can have so much
    padding itself; and the layer's call with them."""
    call, nodes = call_of(head), [inputs_of(head)[0]]
    assert call is not None
    if kind_of(nodes[0]) == "select" and not _is_boosted(nodes[0]):
        nodes.insert(0, inputs_of(nodes[0])[0])
    around = call_of(nodes[0])
    if around is None or (call.kind, around.kind) != ("conv", "pad"):
        return [], call
    alone = all(_only_user(node) is user for node, user in zip(nodes, [*nodes[1:], head], strict=True))
    maps = [live.map_of(node) for node in (*around.inputs, *nodes)]
    same = all((flags == maps[0]).all() for flags in maps)
    padded = with_pad(call, around) if alone and same else None
    return (nodes, padded) if padded else ([], call)


def _absorb_sum(chain: "_Chain", fused: Fused) -> None:
    before = list(chain.members)
    chain.take(lambda node: kind_of(node) == "layer_mask")
    total = chain.take(lambda node: chain.other_summand(node) is not None)
    if total:
        fused.residual = chain.other_summand(total)
    else:
        chain.members = before


class _Chain:
    """A node and those behind it, as long as each is read by one other alone."""

    def __init__(self, start: fx.Node, live: Liveness, taken: dict[fx.Node, Fused]) -> None:
        self.members = [start]
        self._live, self._taken = live, taken

    def take(self, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
        """Append the next node, and what does nothing before it, if it is wanted."""
        last = self.members[-1]
        skipped: list[fx.Node] = []
        node = _only_user(last)
        while node is not None and self._does_nothing(node):
            skipped.append(node)
            node = _only_user(node)
        if node is None or node in self._taken or not wanted(node):
            return None
        same = kind_of(node) == "difference" or (self._live.map_of(node) == self._live.map_of(self.members[0])).all()
        if not same:
            return None
        self.members += [*skipped, node]
        return node

    def other_summand(self, node: fx.Node) -> fx.Node | None:
        """What a node adds to the chain's end, if it is a sum, and if that other value is always there and whole."""
        if kind_of(node) != "add":
            return None
        call = call_of(node)
        assert call is not None
        others = [x for x in call.inputs if x not in self.members and not self._leads_here(x)]
        if len(others) != 1 or len(call.inputs) != 2 or may_be_absent(others[0]):
            return None
        if not self._live.when[node] <= self._live.when[others[0]]:
            return None  # a skipped layer passes on its residual, but a gate around the sum skips both
        same = self._live.map_of(others[0]).shape == self._live.map_of(node).shape
        return others[0] if same and (self._live.map_of(others[0]) == self._live.map_of(node)).all() else None

    def _leads_here(self, node: fx.Node) -> bool:
        while self._does_nothing(node):
            node = inputs_of(node)[0]
        return node in self.members

    def _does_nothing(self, node: fx.Node) -> bool:
        if kind_of(node) == "select":
            return (self._live.map_of(node) == self._live.map_of(self.members[0])).all() and not _is_boosted(node)
        return kind_of(node) == "identity" and storage(node) == storage(inputs_of(node)[0])


def _is_boosted(mask: fx.Node) -> bool:
    return bool(mask.meta.get("boosted"))


def may_be_absent(node: fx.Node) -> bool:
    """Whether layer gates may skip a value that is read nevertheless."""
    if kind_of(node) == "add":
        return all(map(may_be_absent, inputs_of(node)))
    if kind_of(node) == "identity":
        return may_be_absent(inputs_of(node)[0])
    return kind_of(node) in _MASKS


def part_of_sum(node: fx.Node) -> bool:
    """Whether a sum that may be absent is added to a larger one, which then adds its summands."""
    user = _only_user(node)
    return kind_of(node) == "add" and user is not None and kind_of(user) == "add" and may_be_absent(node)


def summands(node: fx.Node) -> list[fx.Node]:
    """What a sum adds, those of its parts among them."""
    inputs = inputs_of(node)
    return [part for x in inputs for part in (summands(x) if part_of_sum(x) else [x])]


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
