"""What torch says in one op and a program in two.

x - y                           x + (-y)
add(x, y, alpha=a), less too    x + a y
addcmul(x, y, z, value=a)       x + a (y z)
x ** 2, square(x)               x x
"""

import operator
from typing import Any

import torch
from torch import fx

from sluicegate.graph import note_constant, shape

_LESS = (operator.sub, torch.sub, "sub")
_SUMS = (torch.add, "add", torch.sub, "sub")
_POWERS = (operator.pow, torch.pow, "pow")
_SQUARES = (torch.square, "square")
_PRODUCTS = (torch.addcmul, "addcmul")


def spell_out(graph_module: fx.GraphModule) -> None:
    """Put two nodes in place of one, in a traced graph that is pure."""
    changed = False
    for node in list(graph_module.graph.nodes):
        for operation, parts in ((operator.add, _summands(node)), (operator.mul, _factors(node))):
            if parts:
                node.op, node.target, node.args, node.kwargs = "call_function", operation, parts, {}
                changed = True
    if changed:
        graph_module.recompile()


def _summands(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    if not node.op.startswith("call_") or not all(isinstance(x, fx.Node) and shape(x) for x in node.args):
        return None
    factor = node.kwargs.get("alpha", 1)
    if node.target in _LESS and len(node.args) == 2 and isinstance(factor, (int, float)):
        return node.args[0], _times(node, node.args[1], -factor)  # type: ignore[return-value]
    if node.target in _SUMS and len(node.args) == 2 and factor != 1:
        return node.args[0], _times(node, node.args[1], factor)  # type: ignore[return-value]
    if node.target in _PRODUCTS and len(node.args) == 3:
        product = _times(node, node.args[1], node.args[2])
        value = node.kwargs.get("value", 1)
        return node.args[0], product if value == 1 else _times(node, product, value)  # type: ignore[return-value]
    return None


def _factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Of a square of a value."""
    squared = (node.target in _POWERS and node.args[1:] == (2,)) or (node.target in _SQUARES and len(node.args) == 1)
    x = node.args[0] if squared and node.op.startswith("call_") and not node.kwargs else None
    return (x, x) if isinstance(x, fx.Node) and shape(x) else None


def _times(before: fx.Node, x: Any, factor: Any) -> fx.Node:
    """A new node x * factor before another."""
    with before.graph.inserting_before(before):
        made = before.graph.call_function(operator.mul, (x, factor))
    made.meta = {key: value for key, value in before.meta.items() if key == "nn_module_stack"}
    pairs = zip(
        x.meta["values"], factor.meta["values"] if isinstance(factor, fx.Node) else (factor, factor), strict=True
    )
    made.meta["values"] = tuple(value * by for value, by in pairs)
    note_constant(made)
    return made
