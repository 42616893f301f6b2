"""Values whose channels a gate may close, found by structure.

Legend: N images, C channels, G gates.

A channel site begins at a layer. Its output channels stay separate through norms, activations, pools and depthwise
convolutions, up to the last value before another layer reads them: this is the site's value. A mask there makes closed
channels zero. If the channels go several ways (a ghost module's cheap copies, a norm beside a depthwise convolution),
each way ends in a mask of the same gates. If they are split and concatenated again (depthwise convolutions of several
sizes), the mask is after the concatenation.

A site is valid if all readers can handle zeros. Valid readers are: layers, which skip these inputs; a product with an
attention computed from the other channels (squeeze-and-excitation); a concatenation that includes the channels. If the
reader is the sum of a residual branch, the site is the end of that branch, and its gates do not change the shortcut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import lcm

from torch import fx

from sluicegate.graph import copies, immediate_dominators, shape
from sluicegate.ops import (
    call_of,
    channel_count,
    inputs_of,
    keeps_zero,
    kind_of,
    layout_of,
    pixel_count,
    room_of,
    zeros_of,
)
from sluicegate.ops.frame.links import Mixed, Sources
from sluicegate.ops.frame.reading import why_opaque
from sluicegate.sites.branches import Branch, find_branches, is_layer, name_of


@dataclass(frozen=True)
class Channels:
    """A value whose channels a gate can close: `value`, made by `producer`; only for `users`, if they are named.

    Attributes:
        also: other values that the same gates mask: parallel paths that are added later, or other ways of the same
            channels.
        unit: the smallest number of adjacent channels that must share a gate, for example because of a group norm.
        fork: the value on which all parts of the site depend, if it is not the producer's input.
    """

    name: str
    producer: fx.Node
    value: fx.Node
    branch: Branch | None
    users: tuple[fx.Node, ...] | None = None
    also: tuple[fx.Node, ...] = ()
    unit: int = 1
    fork: fx.Node | None = None

    @property
    def reads(self) -> fx.Node:
        """What a gate should look at: what the branch reads, or what the producer reads."""
        return self.branch.fork if self.branch else self.fork or self.producer.all_input_nodes[0]

    @property
    def count(self) -> int:
        """C."""
        return channel_count(self.value)


@dataclass(frozen=True)
class Place:
    """The end of a layer's chain, and who reads it.

    Attributes:
        chain: the layer and the ops that pass its channels on, as long as there is one way.
        held: all values that contain the layer's channels separately.
        masks: values to mask: after these, other readers see zeros, or none of these channels.
        ends: the residual branch that ends with these channels, if any.
        why_not: why there can be no gate; None if there can.
    """

    chain: tuple[fx.Node, ...]
    held: tuple[fx.Node, ...]
    masks: tuple[fx.Node, ...]
    branch: Branch | None
    ends: Branch | None
    why_not: str | None

    @property
    def value(self) -> fx.Node:
        """Where the first mask would stand."""
        return self.masks[0]

    def channels(self, name: str, branch: Branch | None) -> Channels:
        """The site."""
        return Channels(name, self.chain[0], self.value, branch, None, self.masks[1:], unit_of(self.held, self.masks))


class Places:
    """All layers of a network, and what a gate behind each would do."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module, self.graph = graph_module, graph_module.graph
        self.branches = find_branches(graph_module)
        larger_first = sorted(self.branches, key=lambda branch: -len(branch.nodes))
        self.branch_of = {node: branch for branch in larger_first for node in branch.nodes}
        self.sums = {branch.total for branch in self.branches}
        self.readers = readers_of(self.graph)
        self.order = {node: i for i, node in enumerate(self.graph.nodes)}
        self.dominators = immediate_dominators(self.graph)
        self.all = {node: self._place(node) for node in self.graph.nodes if is_layer(node)}

    def _place(self, layer: fx.Node) -> Place:
        chain, held, branch = self.chain(layer), self.held(layer), self.branch_of.get(layer)
        masks = self.masks(held)
        if len({channel_count(mask) for mask in masks}) > 1:  # no gate could serve them all
            held, masks = chain, self.masks(chain)
        walk = Walk(self, masks)
        why_not = walk.refused or self._refused(layer, chain[-1])
        if why_not is None and walk.sums:
            ends = [b for b in self.branches if b.total in walk.sums and b.end in walk.zero]
            if len(walk.sums) == 1 and len(ends) == 1 and layer in ends[0].nodes:
                return Place(chain, held, masks, branch, ends[0], None)
            why_not = "a shortcut carries its channels"
        return Place(chain, held, masks, branch, None, why_not)

    def held(self, layer: fx.Node) -> tuple[fx.Node, ...]:
        """A layer and all that holds its channels one by one, in order."""
        found, waiting = {layer}, [(self.order[n], n) for n in self.readers.get(layer, [])]
        heapify(waiting)
        while waiting:
            _, node = heappop(waiting)
            if node not in found and _holds(node, found):
                found.add(node)
                for reader in self.readers.get(node, []):
                    heappush(waiting, (self.order[reader], reader))
        return tuple(sorted(found, key=self.order.__getitem__))

    def masks(self, held: Sequence[fx.Node]) -> tuple[fx.Node, ...]:
        """Values to mask, so that all is zero that others read of these."""
        inside, zero = set(held), set[fx.Node]()
        found: dict[fx.Node, None] = {}
        for node in held:
            if node is not held[0] and keeps_zero(node) and set(inputs_of(node)) <= zero:
                zero.add(node)
            elif not node.users or any(user not in inside and not _only_looks(user) for user in node.users):
                zero.add(node)
                while len(layout_of(node).channels) != 1:  # a mask stands where channels are one side
                    node = inputs_of(node)[0]
                found[node] = None
        return tuple(found)

    def chain(self, layer: fx.Node) -> tuple[fx.Node, ...]:
        """A layer and what passes its channels on, as long as nobody else reads them."""
        found = [layer]
        while True:
            readers = self.readers.get(found[-1], [])
            if len(readers) != 1 or not passes(readers[0]) or len(found[-1].users) > 1:
                return tuple(found)
            found.append(readers[0])

    def _refused(self, layer: fx.Node, value: fx.Node) -> str | None:
        if copies(value) != 1:
            return "its value holds several copies of an image"
        if kind_of(layer) == "conv" and channel_count(x := layer.all_input_nodes[0]) != shape(x)[1]:
            return "it slides over the channels of a vector"
        return "it is part of an attention" if self._in_attention(layer) else None

    def _in_attention(self, layer: fx.Node) -> bool:
        """Whether a layer computes, from one pixel, factors for a map of many."""
        waiting, seen = [layer], set()
        while waiting:
            node = waiting.pop()
            if node in seen or pixel_count(node) > 1:
                continue
            seen.add(node)
            for reader in self.readers.get(node, []):
                if kind_of(reader) == "multiply" and pixel_count(reader) > 1:
                    return True
                waiting.append(reader)
        return False


class Walk:
    """Who reads the channels of values that are masked, up to the next layers.

    Attributes:
        zero: values that are zero where the masked one is.
        sums: ends of residual branches that are reached.
        refused: a reader to whom zero would be no good, in words.
    """

    def __init__(self, places: Places, masked: Sequence[fx.Node]) -> None:
        self.zero, self.reached = set(masked), set(masked)
        self.sums: set[fx.Node] = set()
        self.refused: str | None = None
        self._places = places
        self._waiting = [(places.order[node], node) for node in masked]
        heapify(self._waiting)
        while self._waiting:  # in order, so that the inputs of a value come first
            self._visit(heappop(self._waiting)[1])

    def _visit(self, node: fx.Node) -> None:
        if node.op != "output" and any(user.op == "output" for user in node.users):
            self.refused = self.refused or "the network returns its channels"
        for reader in self._places.readers.get(node, []):
            self._read(node, reader)

    def _read(self, node: fx.Node, reader: fx.Node) -> None:
        call, room = call_of(reader), room_of(reader)
        if call is None or room is None or room.links is None:
            why = why_opaque(self._places.graph_module, reader)
            self.refused = self.refused or f"{name_of(reader)} reads them in a way that is not known ({why})"
        elif reader in self._places.sums:
            self.sums.add(reader)
        elif is_layer(reader):
            if node not in self.zero and not self._partly(node):
                self.refused = self.refused or f"{name_of(reader)} would not see zeros"
        elif room.map == "open" and any(isinstance(link, Mixed) for link in room.links(reader, call)):
            self.refused = self.refused or f"{name_of(reader)} mixes them with others"
        else:
            if reader not in self.reached:
                heappush(self._waiting, (self._places.order[reader], reader))
            self.reached.add(reader)
            self._note_zero(reader)

    def _note_zero(self, reader: fx.Node) -> None:
        call, room = call_of(reader), room_of(reader)
        assert call and room
        zeros = zeros_of(room, reader, call)
        known = [x in self.zero for x in call.inputs]
        one_by_one = kind_of(reader) == "concat"
        if (zeros == "product" and any(known)) or (zeros == "each" and (all(known) or (one_by_one and any(known)))):
            self.zero.add(reader)

    def _partly(self, node: fx.Node) -> bool:
        """Whether a value is not zero because others were added to it, or because a product will look at it."""
        if kind_of(node) in ("add", "fold"):
            return True
        call = call_of(node)
        return bool(call) and any(x in self.reached and x not in self.zero and self._partly(x) for x in call.inputs)


def passes(node: fx.Node) -> bool:
    """Whether an op hands its one input's channels on, channel c as channel c, or as channels m c to m c + m - 1 of a
    depthwise convolution with a multiplier m; it may shift them."""
    call, room = call_of(node), room_of(node)
    if call is None or room is None or room.links is None or len(call.inputs) != 1 or is_layer(node):
        return False
    if kind_of(node) in ("layer_mask", "select", "difference"):
        return False
    (link,) = room.links(node, call)
    if isinstance(link, Mixed) and link.groups == link.inputs:
        return link.outputs % link.inputs == 0
    if channel_count(node) != channel_count(call.inputs[0]):
        return False
    if isinstance(link, Sources):
        return bool((link.sources == range(channel_count(node))).all())
    return room.map != "open"  # a norm of groups of channels


def _holds(node: fx.Node, known: set[fx.Node]) -> bool:
    """Whether all that a node reads are values that hold some channels one by one, and what it makes does, too."""
    call, room = call_of(node), room_of(node)
    if call is None or room is None or room.links is None or not set(call.inputs) <= known:
        return False
    if len(call.inputs) == 1:
        return passes(node)
    numbers = range(channel_count(node))
    links = room.links(node, call)
    return not is_layer(node) and all(
        isinstance(link, Sources) and len(link.sources) == link.inputs and (link.sources == numbers).all()
        for link in links
    )


def readers_of(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Who reads each value, whatever stands between in the graph; a split is looked through to its parts."""
    found: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.nodes:
        call = call_of(node)
        if call is None:
            inputs: Iterable[fx.Node] = () if _only_looks(node) else node.all_input_nodes
        else:
            inputs = () if call.kind == "split" else dict.fromkeys(call.inputs)
        for x in inputs:
            if node.op != "output":
                found.setdefault(x, []).append(node)
    return found


def _only_looks(node: fx.Node) -> bool:
    return node.op == "call_method" and node.target == "size"


def unit_of(held: Sequence[fx.Node], masks: Iterable[fx.Node]) -> int:
    """So many adjacent channels of masked values belong together."""
    found = {held[0]: 1}
    for node in held[1:]:
        call, room = call_of(node), room_of(node)
        assert call and room and room.links
        unit = lcm(*(found[x] for x in call.inputs))
        for link in room.links(node, call):
            if isinstance(link, Mixed):
                unit = lcm(unit, link.inputs // link.groups) * link.outputs // link.inputs
        found[node] = unit
    return lcm(*(found[mask] for mask in masks))
