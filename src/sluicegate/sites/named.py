"""Places that the caller names."""

from torch import fx

from sluicegate.errors import InputError
from sluicegate.ops import keeps_zero, kind_of
from sluicegate.sites.branches import is_layer, name_of
from sluicegate.sites.places import Channels, Places


def node_named(graph_module: fx.GraphModule, name: str) -> fx.Node:
    """The node that calls a module, or has this name.

    Raises:
        InputError: there is none, or there are several.
    """
    nodes = [n for n in graph_module.graph.nodes if name in (n.name, str(n.target)) and n.op != "get_attr"]
    exact = [n for n in nodes if n.name == name]
    if len(exact or nodes) == 1:
        return (exact or nodes)[0]
    if nodes:
        raise InputError(
            f"at: {name!r} is called {len(nodes)} times; name one of the nodes {', '.join(n.name for n in nodes)}"
        )
    raise InputError(f"at: {name!r} is not a module of the network")


def channels_at(graph_module: fx.GraphModule, name: str) -> Channels:
    """The channels masked right after a module (or node) that the caller names.

    Raises:
        InputError: there is no such module, it is called more than once, or a gate there would give wrong results:
            before a norm (a closed channel would become the norm's shift), or before a reader that cannot skip zeros.
    """
    node = node_named(graph_module, name)
    places = Places(graph_module)
    for layer, place in places.all.items():
        if node not in place.chain or (is_layer(node) and node is not layer):
            continue
        if place.why_not or place.ends:
            why = place.why_not or "it ends a residual branch, where at='out' would put them"
            raise InputError(f"at: {name!r} is no place for channel gates: {why}")
        after = place.chain[place.chain.index(node) + 1 :]
        shifting = next((n for n in after if not keeps_zero(n)), None)
        if shifting is not None:
            raise InputError(
                f"at: {name!r} stands before {name_of(shifting)!r} ({kind_of(shifting)}), which makes closed channels "
                f"non-zero; a mask must come after it, at {name_of(place.value)!r}"
            )
        return Channels(name_of(layer), layer, node, place.branch)
    raise InputError(
        f"at: {name!r} is no place for channel gates; its channels must come from one layer and go to layers"
    )
