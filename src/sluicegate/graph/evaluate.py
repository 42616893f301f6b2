"""The values of a network's nodes without data, for two numbers of images (see `nodes.py`)."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from sluicegate.graph.nodes import IMAGES, call, note_constant


def for_images(example: Tensor) -> tuple[Tensor, Tensor]:
    """An example input [n, ...] for both numbers of images, without data."""
    first, second = (torch.empty((n, *example.shape[1:]), dtype=example.dtype, device="meta") for n in IMAGES)
    return first, second


def without_data(net: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation, whose parameters and buffers have shapes and no data."""
    tensors = (*net.parameters(), *net.buffers())
    empty: dict[int, Any] = {id(tensor): _empty_like(tensor) for tensor in tensors}
    return copy.deepcopy(net, empty).to("meta").eval()


def note_values(graph_module: fx.GraphModule, examples: Iterable[Tensor]) -> None:
    """Note the value of every node of a graph that knows none, as after unpickling."""
    bare, given = without_data(graph_module), iter(examples)
    for node in graph_module.graph.nodes:
        if node.op != "output":
            note_constant(node)
            values = for_images(next(given)) if node.op == "placeholder" else values_of(bare, graph_module, node)
            node.meta["values"] = values


_KEEP_SHAPE = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Hardsigmoid, nn.GELU, nn.Tanh, nn.LeakyReLU,
               nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)  # fmt: skip
"""Their result has the shape of their input, which is quicker to say than to compute."""


@torch.no_grad()
def values_of(bare: nn.Module, net: nn.Module, node: fx.Node) -> tuple[Any, Any]:
    """What a node makes of the values of the nodes that it reads.

    `meta["hands_on"]` says whether that is its first input itself, `meta["writes"]` which of its inputs it writes into.

    Args:
        bare: the network `without_data`.
        net: the network itself, for what cannot be computed without data.
    """
    node.meta.update(hands_on=False, writes=())
    if node.op == "call_module" and (known := _known(bare.get_submodule(str(node.target)), node)):
        return known
    try:
        first, second = _called(bare, node, lambda value: value)
    except Exception:  # no data is not enough; or a constant that tracing put into the net
        first, second = _called(net, node, _filled)
    else:
        given = node.args[0] if node.args else None
        if isinstance(given, fx.Node) and first is given.meta["values"][0]:
            node.meta["hands_on"] = True
            if _may_write(bare, node):  # in training, as a dropout
                node.meta["writes"] = (given,)
    return _bare(first), _bare(second)


def _known(module: nn.Module, node: fx.Node) -> tuple[Tensor, Tensor] | None:
    """The values of a module whose result has a shape that is quick to say."""
    if type(module) not in (*_KEEP_SHAPE, nn.Linear) or node.kwargs:
        return None
    first, second = node.args[0].meta["values"]  # type: ignore[union-attr]
    if not isinstance(module, nn.Linear):
        node.meta["writes"] = (node.args[0],) if getattr(module, "inplace", False) else ()
        return first.new_empty(first.shape), second.new_empty(second.shape)
    if first.shape[-1] != module.in_features:
        return None  # let it complain itself
    made = [value.new_empty((*value.shape[:-1], module.out_features)) for value in (first, second)]
    return made[0], made[1]


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors that a value is made of."""
    found: list[Tensor] = []
    _mapped(value, found.append)
    return found


def _called(root: nn.Module, node: fx.Node, given: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What a node makes for both numbers of images; torch counts how often a tensor's memory is written to."""
    made = []
    for k in (0, 1):
        values = {read: given(read.meta["values"][k]) for read in node.all_input_nodes}
        before = {read: _writings(value) for read, value in values.items()}
        made.append(call(root, node, values.__getitem__))
        node.meta["writes"] = tuple(read for read, value in values.items() if _writings(value) != before[read])
    return made[0], made[1]


def _may_write(root: nn.Module, node: fx.Node) -> bool:
    module = root.get_submodule(str(node.target)) if node.op == "call_module" else None
    return bool(node.kwargs.get("inplace") or getattr(module, "inplace", False))


def _writings(value: Any) -> list[int]:
    return [tensor._version for tensor in tensors_in(value)]


def _empty_like(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def _bare(value: Any) -> Any:
    return _mapped(value, lambda tensor: tensor.detach().to("meta"))


def _filled(value: Any) -> Any:
    return _mapped(value, lambda tensor: torch.zeros(tensor.shape, dtype=tensor.dtype))


def _mapped(value: Any, of_tensor: Any) -> Any:
    if isinstance(value, Tensor):
        return of_tensor(value)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        parts = [_mapped(part, of_tensor) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: _mapped(part, of_tensor) for key, part in value.items()}
    return value
