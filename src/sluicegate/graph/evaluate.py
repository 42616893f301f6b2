"""The values of a network's nodes without data, for two numbers of images (see `nodes.py`)."""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from sluicegate.graph.nodes import IMAGES, call


def for_images(example: Tensor) -> tuple[Tensor, Tensor]:
    """An example input [n, ...] for both numbers of images, without data."""
    first, second = (torch.empty((n, *example.shape[1:]), dtype=example.dtype, device="meta") for n in IMAGES)
    return first, second


def without_data(net: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation, whose parameters and buffers have shapes and no data."""
    tensors = (*net.parameters(), *net.buffers())
    empty: dict[int, Any] = {id(tensor): _empty_like(tensor) for tensor in tensors}
    return copy.deepcopy(net, empty).to("meta").eval()


_KEEP_SHAPE = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Hardsigmoid, nn.GELU, nn.Tanh, nn.LeakyReLU,
               nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)  # fmt: skip
"""Their result has the shape of their input, which is quicker to say than to compute."""


@torch.no_grad()
def values_of(bare: nn.Module, net: nn.Module, node: fx.Node) -> tuple[Any, Any]:
    """What a node makes of the values of the nodes that it reads; `meta["hands_on"]` says that it is its first input.

    Args:
        bare: the network `without_data`.
        net: the network itself, for what cannot be computed without data.
    """
    if node.op == "call_module" and (known := _known(bare.get_submodule(str(node.target)), node)):
        return known
    try:
        first, second = (call(bare, node, lambda read, k=k: read.meta["values"][k]) for k in (0, 1))
    except (NotImplementedError, AttributeError):  # no data is not enough; or a constant that tracing put into the net
        first, second = (call(net, node, lambda read, k=k: _filled(read.meta["values"][k])) for k in (0, 1))
    else:
        given = node.args[0] if node.args else None
        node.meta["hands_on"] = isinstance(given, fx.Node) and first is given.meta["values"][0]
    return _bare(first), _bare(second)


def _known(module: nn.Module, node: fx.Node) -> tuple[Tensor, Tensor] | None:
    """The values of a module whose result has a shape that is quick to say."""
    if type(module) not in (*_KEEP_SHAPE, nn.Linear):
        return None
    first, second = node.args[0].meta["values"]  # type: ignore[union-attr]
    if isinstance(module, nn.Linear):
        if first.shape[-1] != module.in_features:
            return None  # let it complain itself
        return first.new_empty((*first.shape[:-1], module.out_features)), second.new_empty(
            (*second.shape[:-1], module.out_features)
        )
    return first.new_empty(first.shape), second.new_empty(second.shape)


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
