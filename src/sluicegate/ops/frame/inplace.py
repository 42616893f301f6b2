"""In-place ops become pure: later readers of the operand read the result.

    out = relu_(x); y = f(out) + x     is     out = relu(x); y = f(out) + out

Tracing knows which nodes write into a value, because torch counts the writes to a tensor. It also knows which values
share memory.
"""

import copy
import operator
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from sluicegate.errors import InputError
from sluicegate.graph import is_constant, module_of, path_of, tensors_in

_FUNCTIONS = {operator.iadd: operator.add, operator.imul: operator.mul, operator.isub: operator.sub,
              operator.itruediv: operator.truediv, operator.ifloordiv: operator.floordiv, operator.imod: operator.mod,
              operator.ipow: operator.pow, torch.relu_: torch.relu, F.relu_: F.relu, torch.sigmoid_: torch.sigmoid,
              torch.tanh_: torch.tanh, F.leaky_relu_: F.leaky_relu, F.elu_: F.elu, F.hardtanh_: F.hardtanh,
              torch.clamp_: torch.clamp}  # fmt: skip


def make_pure(graph_module: fx.GraphModule) -> None:
    """Take in-place ops out of a traced graph, whose results stay what they were.

    Raises:
        InputError: an op writes into a value that is read later, in a way that is not supported.
    """
    writing = [node for node in graph_module.graph.nodes if node.meta.get("writes")]
    memory = _Memory(graph_module.graph) if writing else None
    for node in writing:
        assert memory
        operand = _operand(graph_module, node)
        if operand is None:
            memory.refuse_readers(node, node.meta["writes"])
            continue
        memory.refuse_views(node, operand)
        later = operand.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: memory.is_later(user, node))
        for user in later:
            user.meta["writes"] = tuple(node if x is operand else x for x in user.meta.get("writes", ()))
        _purify(graph_module, node)
    if writing:
        graph_module.graph.lint()
        graph_module.recompile()


def _operand(graph_module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """What a node writes its result into, if that can be taken out of it."""
    (written, *others) = node.meta["writes"]
    if others or written not in (node.args[:1] or (node.kwargs.get("input"),)) or is_constant(written):
        return None
    return written if _is_known(graph_module, node) else None


def _is_known(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(graph_module, node), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and isinstance(getattr(Tensor, name[:-1], None), type(Tensor.add))
    return node.target in _FUNCTIONS or bool(node.kwargs.get("inplace"))


class _Memory:
    """Which values share memory, and who reads them when."""

    def __init__(self, graph: fx.Graph) -> None:
        self._order = {node: i for i, node in enumerate(graph.nodes)}
        self._holders: dict[int, list[fx.Node]] = {}
        for node in graph.nodes:
            for storage in _storages(node):
                self._holders.setdefault(storage, []).append(node)

    def is_later(self, user: fx.Node, node: fx.Node) -> bool:
        """Whether a user comes after a node."""
        return self._order[user] > self._order[node]

    def refuse_readers(self, node: fx.Node, written: tuple[fx.Node, ...]) -> None:
        """What writes in a way that is not known may do so where nobody looks at the values again."""
        for value in written:
            if is_constant(value):
                raise InputError(f"net: {path_of(node)!r} writes into {value.target!r}, which a graph would not keep")
            if any(self.is_later(user, node) for user in value.users):
                raise InputError(
                    f"net: {path_of(node)!r} writes into {path_of(value)!r}, which is read later; write `x = f(x)`"
                )
            self.refuse_views(node, value)

    def refuse_views(self, node: fx.Node, operand: fx.Node) -> None:
        """A view shares the memory that is written to; who reads one later would see the change."""
        sharing = {view for storage in _storages(operand) for view in self._holders[storage]} - {operand}
        for view in sorted(sharing, key=self._order.__getitem__):
            later = [user for user in view.users if self.is_later(user, node)] if self.is_later(node, view) else []
            if any(_overlap(operand, _seen(view, user)) for user in later):
                raise InputError(
                    f"net: {path_of(node)!r} writes into memory that {path_of(view)!r}, read later, shares; do not "
                    "write in place there"
                )


def _storages(node: fx.Node) -> set[int]:
    return {tensor.untyped_storage()._cdata for tensor in _tensors(node)}


def _seen(view: fx.Node, user: fx.Node) -> fx.Node:
    """What a user looks at: of several parts, the one that it picks."""
    return user if user.target is operator.getitem and not isinstance(view.meta["values"][0], Tensor) else view


def _overlap(one: fx.Node, other: fx.Node) -> bool:
    """Whether two values have a number in common."""
    return any(bool((a & b).any()) for a in _places(one) for b in _places(other) if a.shape == b.shape)


def _places(node: fx.Node) -> Iterator[Tensor]:
    """Of each tensor of a value which numbers of its memory it holds."""
    for tensor in _tensors(node):
        count = tensor.untyped_storage().nbytes() // tensor.element_size()
        places = torch.arange(count).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        yield torch.zeros(count, dtype=torch.bool).index_fill(0, places.flatten(), True)


def _tensors(node: fx.Node) -> list[Tensor]:
    return tensors_in(node.meta["values"][0]) if "values" in node.meta else []


def _purify(graph_module: fx.GraphModule, node: fx.Node) -> None:
    """Let a node make a new value; where nobody else reads the operand, its memory may serve."""
    operand = node.args[0] if node.args else node.kwargs["input"]
    alone = isinstance(operand, fx.Node) and len(operand.users) == 1
    if node.op == "call_method":
        node.target = str(node.target)[:-1]
    elif node.target in _FUNCTIONS:
        node.target = _FUNCTIONS[node.target]  # type: ignore[index]
    elif not alone:
        write_elsewhere(graph_module, node)


def write_elsewhere(graph_module: fx.GraphModule, node: fx.Node) -> None:
    """Let a module or function with the option `inplace` make a new value."""
    if node.op == "call_module":
        _set_aside(graph_module, str(node.target))
    else:
        node.kwargs = {**node.kwargs, "inplace": False}


def _set_aside(graph_module: fx.GraphModule, path: str) -> None:
    """Give the graph a module of its own that makes new values; the network that was read keeps the one that it has."""
    module = copy.copy(graph_module.get_submodule(path))
    module.inplace = False  # type: ignore[assignment]
    graph_module.set_submodule(path, module)
