"""The sites of a network, by kind: between layers, at the ends of branches, before them, on and in concatenations."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from math import lcm

from torch import fx

from sluicegate.graph import copies
from sluicegate.ops import inputs_of, kind_of, layout_of
from sluicegate.sites.branches import find_branches, is_layer, name_of
from sluicegate.sites.places import Channels, Places, Walk, passes, unit_of


def find_channels(graph_module: fx.GraphModule) -> list[Channels]:
    """Every value between layers whose channels can be gated, in order of execution."""
    places = Places(graph_module)
    found: dict[str, Channels] = {}
    for layer, place in places.all.items():
        if place.why_not is None and place.ends is None:
            name = name_of(layer) if name_of(layer) not in found else layer.name
            found[name] = place.channels(name, place.branch)
    joined = [
        replace(channels, fork=_tensor_before(channels.producer, places, way))  # what the layers of the way read
        for channels in _concatenations(places)
        if (way := _way(places, channels.producer))
    ]
    several = sorted([*found.values(), *joined], key=lambda channels: places.order[channels.value])
    return _shared(places, several)


def _way(places: Places, concat: fx.Node) -> set[fx.Node]:
    """From layers to the concatenation where their channels come together, if there is no gate before and nobody reads
    them but by way of it; else nothing."""
    waiting, way = list(inputs_of(concat)), {concat}
    while waiting:
        node = waiting.pop()
        if node in way:
            continue
        way.add(node)
        if is_layer(node):
            if places.all[node].why_not is None:
                return set()
        elif passes(node) or kind_of(node) in ("concat", "slice"):
            waiting += inputs_of(node)
        else:
            return set()
    alone = all(reader in way for node in way if node is not concat for reader in places.readers.get(node, []))
    return way if alone else set()


def find_branch_ends(graph_module: fx.GraphModule) -> list[Channels]:
    """The output channels of every residual branch that ends with one layer, in order of execution."""
    return [
        place.channels(name_of(layer), place.ends)
        for layer, place in Places(graph_module).all.items()
        if place.why_not is None and place.ends
    ]


def find_branch_inputs(graph_module: fx.GraphModule) -> list[Channels]:
    """The inputs of the first layers of every residual branch, in order of execution; masked for these layers only.

    If a branch begins with another branch, the larger one gets the gates.
    """
    found: dict[str, Channels] = {}
    for branch in find_branches(graph_module):
        first = next(n for n in branch.nodes if is_layer(n))
        value = first.all_input_nodes[0]
        readers = tuple(n for n in branch.nodes if n in value.users and is_layer(n))
        name = f"{name_of(first)}.in"
        smaller = name in found and len(found[name].users or ()) >= len(readers)
        if len(layout_of(value).channels) == 1 and copies(value) == 1 and not smaller:
            found[name] = Channels(name, value, value, branch, readers)
    return list(found.values())


def find_concatenations(graph_module: fx.GraphModule) -> list[Channels]:
    """Every concatenation whose channels can be gated together, in order of execution (GaterNet's on Inception-v4).

    A concatenation that is part of a larger one gets no gates.
    """
    places = Places(graph_module)
    return [c for c in _concatenations(places) if {kind_of(r) for r in places.readers.get(c.value, [])} != {"concat"}]


def find_growths(graph_module: fx.GraphModule) -> list[Channels]:
    """The channels that each dense layer adds to a concatenation, except the first layer of a block, in order of
    execution (GaterNet's on DenseNet). Closing them saves only outputs, because a norm comes before the next layers.

    Such a layer reads a concatenation, and its own channels are concatenated with that, or with its parts.
    """
    places = Places(graph_module)
    layer_of = {place.chain[-1]: layer for layer, place in places.all.items()}
    found: dict[str, Channels] = {}
    for concat in places.graph.nodes:
        for added in inputs_of(concat) if kind_of(concat) == "concat" else ():
            read = _concatenation_before(added)
            others = {x for x in inputs_of(concat) if x is not added}
            if added in layer_of and read is not None and others and others <= {read, *inputs_of(read)}:
                name = name_of(layer_of[added])
                found.setdefault(name, Channels(name, layer_of[added], added, None, fork=read))
    return list(found.values())


def _concatenation_before(node: fx.Node) -> fx.Node | None:
    """The concatenation of several values of which a node is made, one value at a time."""
    while len(inputs := inputs_of(node)) == 1:
        (node,) = inputs
    return node if kind_of(node) == "concat" else None


def _concatenations(places: Places) -> Iterator[Channels]:
    for node in places.graph.nodes:
        if kind_of(node) == "concat" and len(layout_of(node).channels) == 1 and copies(node) == 1:
            chain = places.chain(node)
            walk = Walk(places, chain[-1:])
            if not walk.refused and not walk.sums:
                branch, fork = places.branch_of.get(node), _tensor_before(node, places)
                yield Channels(node.name, node, chain[-1], branch, unit=unit_of(chain, chain[-1:]), fork=fork)


def _tensor_before(node: fx.Node, places: Places, way: Collection[fx.Node] = ()) -> fx.Node | None:
    """The last value, not in parts and not on the way, on which all depends that a node reads."""
    fork = places.dominators[node]
    while fork is not None and (fork in way or copies(fork) != 1):
        fork = places.dominators[fork]
    return fork


def _shared(places: Places, found: list[Channels]) -> list[Channels]:
    """Parallel paths of selective kernels, which are weighted and added, get the same gates: their sum is zero only if
    all of them are closed."""
    by_value = {channels.value: channels for channels in found}
    for node in places.graph.nodes:
        if kind_of(node) != "fold":
            continue
        joined = inputs_of(node)[0]
        parts = inputs_of(joined) if kind_of(joined) == "concat" else ()
        paths = [by_value[x] for x in parts if x in by_value]
        if len(paths) > 1 and len(paths) == len(parts):
            first = paths[0]
            masks = [value for path in paths for value in (path.value, *path.also)]
            unit = lcm(*(path.unit for path in paths))
            by_value[first.value] = replace(first, also=tuple(masks[1:]), unit=unit)
            for path in paths[1:]:
                del by_value[path.value]
    return list(by_value.values())
