"""Which work a closed gate saves, computed from the gated graph.

Legend: C channels, G gates of a site. A flag is one gate's decision; the flags of all channel gates have numbers.

    zero     the flag that, if closed, makes a channel of a value zero (forward: from a mask, where ops keep zeros)
    unread   the flag that, if closed, leaves a channel without readers (backward: from a mask, or a product with zero)
    maps     the flag that closes a channel: then it is zero or unread, and it is not computed
    when     the layer gates and exits that must be open for an op to run (backward: those on every path to the output)
    unless   the exit whose classifier an op belongs to; the op runs if that gate is closed
    deciding whether only gates read a value                          (backward: heads, a gater network's values)

Costs and lowering both use these answers, so the MACs that are counted are the MACs that are executed. Pruning uses
them too, together with the gates that do the same for every image (`settled`): all closed ones share one more flag,
`FlagNumbers.closed`.
"""

from dataclasses import dataclass, field

import numpy as np
from torch import fx

from sluicegate.costs.flags import ALWAYS_CLOSED, BY_IMAGE, FlagNumbers, Settled
from sluicegate.gates import Gate, GateSite
from sluicegate.graph import module_of
from sluicegate.ops import Call, call_of, channel_count, inputs_of, kind_of, room_of, zeros_of
from sluicegate.ops.frame.links import OPEN, UNREAD, Flags, agreed

NOTHING: frozenset[str] = frozenset()
_ACTS_OF_GATES = ("select", "layer_mask", "exit")


@dataclass(frozen=True)
class Liveness:
    """Answers by node. A value that is not in `maps` has all its channels.

    Attributes:
        masks: where a gate acts on a value.
        exits: the output that an image gets when it leaves.
    """

    numbers: FlagNumbers
    masks: dict[fx.Node, GateSite]
    exits: dict[fx.Node, GateSite]
    maps: dict[fx.Node, Flags]
    when: dict[fx.Node, frozenset[str]]
    passed: dict[fx.Node, frozenset[str]]
    unless: dict[fx.Node, frozenset[str]]
    deciding: frozenset[fx.Node]
    sites_when: dict[str, frozenset[str]] = field(default_factory=dict)

    def map_of(self, node: fx.Node) -> Flags:
        """[C]: the flag that closes each channel of a value, OPEN for none."""
        return self.maps.get(node, np.full(channel_count(node), OPEN))


def liveness(graph_module: fx.GraphModule, settled: Settled | None = None) -> Liveness:
    """Walk a gated graph (or a plain one, where every answer is empty).

    Args:
        settled: what gates do for every image, for all sites. Heads of settled gates are then unread.
    """
    masks = {n: _site(graph_module, n) for n in graph_module.graph.nodes if kind_of(n) in _ACTS_OF_GATES}
    numbers = _numbers(masks)
    walk = _Channels(graph_module, masks, numbers, settled)
    exits = {inputs_of(n)[0]: site for n, site in masks.items() if site.kind == "exit"}
    deciding = _deciding(graph_module)
    when, sites_when = _when(graph_module, masks, deciding)
    return Liveness(
        numbers,
        masks,
        exits,
        walk.maps(),
        when,
        _passed(graph_module, exits),
        _unless(graph_module, exits),
        deciding,
        sites_when,
    )


def _site(graph_module: fx.GraphModule, mask: fx.Node) -> GateSite:
    """A mask reads part of decision i of its gate, beside its value."""
    decision = mask.args[1].all_input_nodes[0]  # type: ignore[union-attr]
    gate = module_of(graph_module, decision.all_input_nodes[0])
    assert isinstance(gate, Gate)
    index = decision.args[1]
    assert isinstance(index, int)
    return gate.sites[index]


def _numbers(masks: dict[fx.Node, GateSite]) -> FlagNumbers:
    sites = {site.name: site for site in masks.values() if site.kind == "channel"}
    first, reached = {}, 0
    for name, site in sites.items():
        first[name] = reached
        reached += site.gates
    return FlagNumbers(first, {name: site.gates for name, site in sites.items()})


def _gate_of(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Site -> the node at which its gates decide."""
    gates = [(node, gate) for node in graph_module.graph.nodes if (gate := _decider(graph_module, node))]
    return {site.name: node for node, gate in gates for site in gate.sites}


def _decider(graph_module: fx.GraphModule, node: fx.Node) -> Gate | None:
    """The gate that a node calls, if it calls one."""
    if kind_of(node) != "gate":
        return None
    gate = module_of(graph_module, node)
    assert isinstance(gate, Gate)
    return gate


class _Channels:
    """The two walks over channels."""

    def __init__(
        self,
        graph_module: fx.GraphModule,
        masks: dict[fx.Node, GateSite],
        numbers: FlagNumbers,
        settled: Settled | None,
    ) -> None:
        graph = graph_module.graph
        self.graph_module, self.numbers, self.settled = graph_module, numbers, settled
        self.nodes = [node for node in graph.nodes if node.op != "output"]
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        decided = {name: self.order[gate] for name, gate in _gate_of(graph_module).items()}
        of_flags = np.repeat([decided[site] for site in numbers.first], [*numbers.gates.values()]).astype(int)
        self.decided = np.append(of_flags, -1)  # gates that are always closed are closed from the start
        self.own = {node: flags for node, site in masks.items() if (flags := self._own(node, site)) is not None}
        self.readers = _readers(graph)
        self.zero = self._zero() if self.own else {}
        self.unread = self._unread() if self.own else {}

    def _own(self, mask: fx.Node, site: GateSite) -> Flags | None:
        """The flags that a mask itself brings in."""
        if site.kind == "channel":
            flags = self.numbers.of_mask(site.name, mask)
            return flags if self.settled is None else self.numbers.once_settled(flags, self.settled)
        skipped = self.settled is not None and site.kind == "layer" and self.settled[site.name][0] == ALWAYS_CLOSED
        return np.full(channel_count(mask), self.numbers.closed) if skipped else None

    def maps(self) -> dict[fx.Node, Flags]:
        """The channel map of every value that lacks channels."""
        touched = [node for node in self.nodes if node in self.zero or node in self.unread]
        found = {node: self._map(node) for node in touched if room_of(node)}
        return {node: flags for node, flags in found.items() if (flags != OPEN).any()}

    def _map(self, node: fx.Node) -> Flags:
        call, room = call_of(node), room_of(node)
        assert call and room
        if node in self.own:
            return self.own[node]
        everything = np.full(channel_count(node), OPEN)
        if room.map == "open" or room.links is None:
            return everything
        zero, unread = self.zero.get(node, everything), self._known_unread(node)
        if room.map == "any":
            return self._first([unread, zero], len(unread))
        flags = self._first([zero, unread], len(zero))
        links = room.links(node, call)
        pushed = agreed([link.push(link.pull(flags)) for link in links], len(flags))
        return np.where(pushed == flags, flags, OPEN)

    def _known_unread(self, node: fx.Node) -> Flags:
        """The flag that leaves a channel unread. Its gate must decide before; a later gate saves nothing."""
        unread = self.unread.get(node, np.full(channel_count(node), OPEN))
        late = (unread >= 0) & (self.decided[np.maximum(unread, 0)] > self.order[node])
        return np.where(late, OPEN, unread)

    def _zero(self) -> dict[fx.Node, Flags]:
        found: dict[fx.Node, Flags] = {}
        for node in self.nodes:
            call, room = call_of(node), room_of(node)
            if node in self.own:
                found[node] = self.own[node]
            elif call and room and room.links and any(x in found for x in call.inputs):
                zeros = zeros_of(room, node, call)
                if zeros != "never":
                    pushed = self._pushed(node, call, found)
                    channels = channel_count(node)
                    flags = agreed(pushed, channels) if zeros == "each" else self._first(pushed, channels)
                    found[node] = np.where(flags == UNREAD, OPEN, flags)
        return found

    def _pushed(self, node: fx.Node, call: Call, zero: dict[fx.Node, Flags]) -> list[Flags]:
        room = room_of(node)
        assert room and room.links
        flags = [zero.get(x, np.full(channel_count(x), OPEN)) for x in call.inputs]
        return [link.push(closed) for link, closed in zip(room.links(node, call), flags, strict=True)]

    def _unread(self) -> dict[fx.Node, Flags]:
        found: dict[fx.Node, Flags] = {}
        for node in reversed(self.nodes):
            if room_of(node) is None and node.op != "placeholder":
                continue
            readers = self.readers.get(node, [])
            opinions = [self._opinion(reader, place, found) for reader, place in readers]
            if readers and all(opinion is not None for opinion in opinions):
                flags = agreed([o for o in opinions if o is not None], channel_count(node))
                if (flags >= 0).any():
                    found[node] = np.where(flags == UNREAD, OPEN, flags)
        return found

    def _opinion(self, reader: fx.Node, place: int, unread: dict[fx.Node, Flags]) -> Flags | None:
        """What one reader says about the channels of its input at `place`; a slice reads only some of them."""
        call, room = call_of(reader), room_of(reader)
        if gate := _decider(self.graph_module, reader):
            return None if self.settled is None else self._asked(gate, place)
        if call is None or room is None or room.links is None:
            return None
        if reader in self.own:
            return self.own[reader]
        flags = unread.get(reader, np.full(channel_count(reader), OPEN))
        if room.zeros == "product":
            others = [flags for i, flags in enumerate(self._pushed(reader, call, self.zero)) if i != place]
            flags = self._first([flags, *others], channel_count(reader))
        return room.links(reader, call)[place].pull(flags)

    def _asked(self, gate: Gate, place: int) -> Flags:
        """[G]: what is said of gates that have settled is read by nobody."""
        assert self.settled is not None
        return np.where(self.settled[gate.sites[place].name] == BY_IMAGE, OPEN, self.numbers.closed)

    def _first(self, several: list[Flags], channels: int) -> Flags:
        """[C]: the first flag that is named for each channel, before others that of what is closed for good."""
        found = np.full(channels, OPEN)
        for flags in several:
            found = np.where((flags >= 0) & ((found == OPEN) | (flags == self.numbers.closed)), flags, found)
        return found


def _readers(graph: fx.Graph) -> dict[fx.Node, list[tuple[fx.Node, int]]]:
    """The readers of each value, and as which input they read it. An unknown reader reads everything, as input -1."""
    found: dict[fx.Node, list[tuple[fx.Node, int]]] = {}
    for node in graph.nodes:
        call = call_of(node)
        if call is None:
            if not (node.op == "call_method" and node.target == "size"):
                for x in node.all_input_nodes:
                    found.setdefault(x, []).append((node, -1))
        elif call.kind != "split":  # its parts speak for it
            for place, x in enumerate(call.inputs):
                found.setdefault(x, []).append((node, place))
    return found


def _when(
    graph_module: fx.GraphModule, masks: dict[fx.Node, GateSite], deciding: frozenset[fx.Node]
) -> tuple[dict[fx.Node, frozenset[str]], dict[str, frozenset[str]]]:
    """For each node the layer gates that must be open for it to be read, and for each site those for its gate."""
    ways = _Ways(graph_module, masks, {}, {})
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    for node in reversed(graph_module.graph.nodes):
        ways.visit(node)
    decided = {name: order[gate] for name, gate in ways.gate_of.items()}

    def known(node: fx.Node) -> frozenset[str]:  # a gate that has not decided yet skips nothing
        return frozenset(name for name in ways.when[node] if node in deciding or decided[name] < order[node])

    return {node: known(node) for node in ways.when}, ways.sites


@dataclass
class _Ways:
    """A walk backward: the gates that must be open on every path from a value to the output."""

    graph_module: fx.GraphModule
    masks: dict[fx.Node, GateSite]
    when: dict[fx.Node, frozenset[str]]
    sites: dict[str, frozenset[str]]

    def __post_init__(self) -> None:
        self.gate_of = _gate_of(self.graph_module)
        self.order = {node: i for i, node in enumerate(self.graph_module.graph.nodes)}

    def visit(self, node: fx.Node) -> None:
        """Find what one node asks for, whose users have been visited."""
        ways = [way for user in node.users if (way := self._through(node, user)) is not None]
        self.when[node] = frozenset.intersection(*ways) if ways else NOTHING
        if node in self.masks:
            name = self.masks[node].name
            before = frozenset(site for site in self.when[node] if self._decides_before(site, name))
            self.sites[name] = self.sites[name] & before if name in self.sites else before

    def _through(self, node: fx.Node, user: fx.Node) -> frozenset[str] | None:
        """Through one user; None if the user does not read the value."""
        if gate := _decider(self.graph_module, user):
            said = zip(gate.sites, user.args, strict=True)
            return frozenset.intersection(*(self.sites.get(site.name, NOTHING) for site, x in said if x is node))
        if user not in self.masks or self.masks[user].kind == "exit":
            return self.when[user]
        if user.args[0] is not node:
            return None  # the decision itself; its gate is asked by site
        return self.when[user] | ({self.masks[user].name} if self.masks[user].kind == "layer" else NOTHING)

    def _decides_before(self, site: str, other: str) -> bool:
        first, second = self.gate_of[site], self.gate_of[other]
        if first is not second:
            return self.order[first] < self.order[second]
        gate = _decider(self.graph_module, first)
        assert gate
        names = [s.name for s in gate.sites]
        return names.index(site) < names.index(other)


def _passed(graph_module: fx.GraphModule, exits: dict[fx.Node, GateSite]) -> dict[fx.Node, frozenset[str]]:
    """The exits before each node, all of which must be open."""
    found, passed = {}, NOTHING
    for node in graph_module.graph.nodes:
        found[node] = passed
        if node in exits:
            passed |= {exits[node].name}
    return found


def _unless(graph_module: fx.GraphModule, exits: dict[fx.Node, GateSite]) -> dict[fx.Node, frozenset[str]]:
    """The exit whose classifier each node is part of."""
    found: dict[fx.Node, frozenset[str]] = {}
    for node in reversed(graph_module.graph.nodes):
        if node in exits:
            found[node] = frozenset({exits[node].name})
            continue
        ways = [found[user] for user in node.users]
        found[node] = frozenset.intersection(*ways) if ways else NOTHING
    return found


def _deciding(graph_module: fx.GraphModule) -> frozenset[fx.Node]:
    found: set[fx.Node] = set()
    for node in reversed(graph_module.graph.nodes):
        readers = [user in found or kind_of(user) == "gate" for user in node.users]
        if node.op != "placeholder" and readers and all(readers):
            found.add(node)
    return frozenset(found)
