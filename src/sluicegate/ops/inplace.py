"""In-place ops become pure: who reads an operand later reads the result.

    out = relu_(x); y = f(out) + x     is     out = relu(x); y = f(out) + out
"""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from sluicegate.errors import InputError
from sluicegate.graph import module_of, path_of

_OPERATORS = {operator.iadd: operator.add, operator.imul: operator.mul, operator.isub: operator.sub,
              operator.itruediv: operator.truediv}  # fmt: skip
_FUNCTIONS = {torch.relu_: torch.relu, F.relu_: F.relu, torch.sigmoid_: torch.sigmoid, torch.tanh_: torch.tanh,
              F.leaky_relu_: F.leaky_relu, F.elu_: F.elu, F.hardtanh_: F.hardtanh, torch.clamp_: torch.clamp}  # fmt: skip
_VIEWS = ("view", "reshape", "flatten", "transpose", "permute", "squeeze", "unsqueeze", "contiguous", "expand", "chunk",
          "split", "unbind", "narrow", "detach", "swapaxes", "unflatten", "expand_as")  # fmt: skip
_VIEW_FUNCTIONS = (torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.unsqueeze, torch.squeeze, torch.chunk,
                   torch.split, torch.unbind, torch.narrow, operator.getitem, torch.detach)  # fmt: skip


def make_pure(graph_module: fx.GraphModule) -> None:
    """Take in-place ops out of a traced graph, whose results stay what they were.

    Raises:
        InputError: an op writes into a value in a way that is not known.
    """
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    changed = False
    for node in list(graph_module.graph.nodes):
        if not _writes(graph_module, node):
            continue
        operand = node.args[0] if node.args else node.kwargs.get("input")
        if not isinstance(operand, fx.Node):
            continue
        _refuse_views(node, operand, order)
        operand.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > order[node])
        _purify(graph_module, node)
        changed = True
    if changed:
        graph_module.graph.lint()
        graph_module.recompile()


def _writes(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node writes its result into its first operand."""
    if node.op == "call_module":
        return bool(getattr(module_of(graph_module, node), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    if node.op != "call_function":
        return False
    named = getattr(node.target, "__name__", "")
    known = node.target in _OPERATORS or node.target in _FUNCTIONS or bool(node.kwargs.get("inplace"))
    if not known and (node.target is operator.setitem or (named.endswith("_") and not named.endswith("__"))):
        raise InputError(f"net: {path_of(node)!r} writes into a value ({named}); write `x = f(x)` instead")
    return known


def _refuse_views(node: fx.Node, operand: fx.Node, order: dict[fx.Node, int]) -> None:
    """A view shares the memory that is written to; who reads one later would see the change."""
    family = _same_memory(operand, node)
    for view in family - {operand}:
        if any(order[user] > order[node] for user in view.users if user not in family):
            raise InputError(
                f"net: {path_of(node)!r} writes into {operand.name!r}, of which {view.name!r}, read later, is a view; "
                "do not write in place there"
            )


def _same_memory(node: fx.Node, writer: fx.Node) -> set[fx.Node]:
    """The values that share a value's memory before an op writes into it."""
    found, waiting = set(), [node]
    while waiting:
        part = waiting.pop()
        if part in found or part is writer:
            continue
        found.add(part)
        waiting += [user for user in part.users if _is_view(user) and user.args[0] is part]
        if _is_view(part) and isinstance(part.args[0], fx.Node):
            waiting.append(part.args[0])
    return found


def _is_view(node: fx.Node) -> bool:
    if node.op == "call_method":
        return str(node.target) in _VIEWS
    if node.op == "call_module":
        return bool(node.meta.get("hands_on"))
    return node.op == "call_function" and node.target in _VIEW_FUNCTIONS


def _purify(graph_module: fx.GraphModule, node: fx.Node) -> None:
    """Let a node make a new value; where nobody else reads the operand, its memory may serve."""
    alone = len(node.args[0].users) == 1 if node.args and isinstance(node.args[0], fx.Node) else False
    if node.op == "call_module":
        if not alone:
            module_of(graph_module, node).inplace = False  # type: ignore[union-attr]
    elif node.op == "call_method":
        node.target = str(node.target)[:-1]
    elif node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
    elif node.target in _FUNCTIONS:
        node.target = _FUNCTIONS[node.target]
    elif not alone:
        kwargs: dict[str, Any] = dict(node.kwargs)
        kwargs["inplace"] = False
        node.kwargs = kwargs
