"""Putting one traced network into another."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import fx


def copy_in(
    graph_module: fx.GraphModule, name: str, part: fx.GraphModule, inputs: Sequence[fx.Node], before: fx.Node
) -> list[fx.Node]:
    """Copy the nodes of a traced network into a graph, its modules under `name`; returns the nodes of its outputs.

    Args:
        graph_module: where to; has, or is given, a submodule `name` with the modules of the part.
        name: of the part in it.
        part: what to copy; it returns one value or several.
        inputs: nodes that stand for the part's inputs.
        before: node in front of which the copies stand.
    """
    copies = dict(zip((n for n in part.graph.nodes if n.op == "placeholder"), inputs, strict=True))
    with graph_module.graph.inserting_before(before):
        for node in part.graph.nodes:
            if node.op == "output":
                returned = node.args[0]
                return [copies[n] for n in (returned if isinstance(returned, (tuple, list)) else (returned,))]
            if node.op != "placeholder":
                copies[node] = _copied(graph_module.graph, name, node, copies)
    raise AssertionError("an fx graph ends in its output")


def _copied(graph: fx.Graph, name: str, node: fx.Node, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    target = f"{name}.{node.target}" if node.op in ("call_module", "get_attr") else node.target
    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), copies.__getitem__)
    made = graph.create_node(node.op, target, args, kwargs)
    made.meta = {key: value for key, value in node.meta.items() if key != "call"} | {"part": name}
    return made


class Name(NamedTuple):
    """What a node is called: its kind, its name, and the part of a network that it was copied in with."""

    op: str
    name: str
    part: str | None


def names_of(graph: fx.Graph) -> list[Name]:
    """What every node is called, in order."""
    return [Name(node.op, node.name, node.meta.get("part")) for node in graph.nodes]


def rename(graph_module: fx.GraphModule, names: Sequence[Name]) -> None:
    """Call nodes as they were called before pickling, which numbers them anew.

    Where the graph has other nodes than it had, names stay as they are.
    """
    found = names_of(graph_module.graph)
    if found == names or [name.op for name in found] != [name.op for name in names]:
        return
    renamed, copies = fx.Graph(graph_module), {}
    for node, (op, name, part) in zip(graph_module.graph.nodes, names, strict=True):
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), copies.__getitem__)
        copies[node] = renamed.create_node(op, node.target, args, kwargs, name, node.type)
        copies[node].meta = node.meta | {"part": part}
    graph_module.graph = renamed
