"""Ends of stages, the places for exits.

A stage ends with the last sum or concatenation at its resolution (with its activation, if one follows) on which
everything later depends. In a network without sums, such as VGG, it is the last convolution. A network that reduces the
resolution and increases it again has stages on both ways.
"""

from dataclasses import dataclass
from itertools import groupby, takewhile

from torch import fx

from sluicegate.errors import InputError
from sluicegate.graph import immediate_dominators, output_of, shape
from sluicegate.ops import is_plane, keeps_zero, kind_of
from sluicegate.sites.branches import is_layer, name_of
from sluicegate.sites.named import node_named
from sluicegate.sites.places import passes


@dataclass(frozen=True)
class Stage:
    """The end of a stage: `value` [N, C, H, W], on which all that comes later depends."""

    name: str
    value: fx.Node


def find_stages(graph_module: fx.GraphModule) -> list[Stage]:
    """Every stage in order of execution, except the last, after which there is nothing left to save."""
    trunk = _trunk(graph_module)
    joins = [n for n in trunk if kind_of(n) in ("add", "concat")]
    ends = [n for n in joins or filter(is_layer, trunk) if is_plane(n)]
    last = [list(of_one_size)[-1] for _, of_one_size in groupby(ends, key=lambda n: shape(n)[2:])]
    settled = [_settled(n) for n in last]
    return [Stage(_module_ending_at(graph_module, n), n) for n in settled[:-1]]


def stage_at(graph_module: fx.GraphModule, name: str) -> Stage:
    """The end of a module, of whatever size, or node that the caller names.

    Raises:
        InputError: there is no such module, or the network's output depends on what goes past it.
    """
    node = _ends_of_modules(graph_module).get(name) or node_named(graph_module, name)
    if node not in _trunk(graph_module) or not is_plane(node):
        raise InputError(f"at: {name!r} is no place for an exit: it must make [N, C, H, W], and no path may bypass it")
    return Stage(name, node)


def _trunk(graph_module: fx.GraphModule) -> list[fx.Node]:
    """The nodes that lie on every path from the inputs to the output, in order of execution."""
    dominators = immediate_dominators(graph_module.graph)
    node: fx.Node | None = output_of(graph_module.graph)
    found = []
    while node is not None and (node := dominators[node]) is not None:
        found.append(node)
    return found[::-1]


def _settled(node: fx.Node) -> fx.Node:
    """What a node has become before another op looks at it: activated, and normalised first if it is a convolution."""
    chain = [node]
    while len(chain[-1].users) == 1 and passes(next(iter(chain[-1].users))):
        chain.append(next(iter(chain[-1].users)))
    mixes = is_layer(node)
    after = takewhile(lambda n: shape(n) == shape(node) and (mixes or keeps_zero(n)), chain[1:])
    return [node, *after][-1]


def _ends_of_modules(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Module name -> the last node that was traced inside of it."""
    return {path: n for n in graph_module.graph.nodes for path in n.meta.get("nn_module_stack", ())}


def _module_ending_at(graph_module: fx.GraphModule, node: fx.Node) -> str:
    """The outermost module that ends with a node: layer1 for the last ReLU in it; else the node's own name."""
    ends = _ends_of_modules(graph_module)
    return next((path for path in node.meta.get("nn_module_stack", ()) if ends[path] is node), name_of(node))
