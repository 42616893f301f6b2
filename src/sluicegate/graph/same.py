"""Checks on an example that a traced graph computes the same as its network.

Tracing cannot see everything that a network's code does: its own `__call__` or `__getattr__`, a hook on the whole
network, a branch on the values of an image. So both are run once and compared.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from sluicegate.errors import InputError, one_line
from sluicegate.graph.tracing import kept_modes

TOLERANCE = 1e-3
"""Of the largest number: beyond rounding, far below what a wrong graph does."""
_IMAGES = 2


def check_same(net: nn.Module, graph_module: fx.GraphModule, inputs: Sequence[Tensor]) -> None:
    """Run a network and its graph on an example, in evaluation.

    Args:
        net: the network.
        graph_module: what was traced of it.
        inputs: what it is called with; random numbers where they are all zero.

    Raises:
        InputError: the results differ, or the network does not run.
    """
    images = [_told_apart(x[:_IMAGES], net) for x in inputs]
    try:
        expected = _outcome(net, images)
    except Exception as error:  # whatever the network raises
        raise InputError(f"net: {type(net).__name__} does not run on the example inputs: {one_line(error)}") from error
    gaps = [_gap(*pair) for pair in zip(_tensors(_outcome(graph_module, images)), _tensors(expected), strict=True)]
    if gaps and max(gaps) > TOLERANCE:
        raise InputError(
            f"net: the traced graph of {type(net).__name__} computes something else ({max(gaps):.1%} off); likely "
            "causes: an overridden method, a hook, a random number, a branch on an image's values"
        )


def _outcome(net: nn.Module, images: Sequence[Tensor]) -> Any:
    with kept_modes(net), torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return net.eval()(*(x.clone() for x in images))


def _told_apart(x: Tensor, net: nn.Module) -> Tensor:
    """An example where the network has its parameters, in their precision, and not all zero."""
    like = next((p for p in net.parameters() if p.is_floating_point()), None)
    if not x.is_floating_point():
        return x if like is None else x.to(like.device)
    if not x.any():
        x = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)
    return x if like is None else x.to(like.device, like.dtype)


def _tensors(returned: Any) -> list[Tensor]:
    return [part for part in pytree.tree_leaves(returned) if isinstance(part, Tensor)]


def _gap(made: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number; what is no number in both is no difference."""
    if made.shape != expected.shape:
        return float("inf")
    made, expected = made.double(), expected.double()
    both = made.isfinite() & expected.isfinite()
    if not (both | (made == expected) | (made.isnan() & expected.isnan())).all():
        return float("inf")
    off = (made - expected)[both].abs()
    return float(off.max() / expected[both].abs().max().clamp_min(1e-6)) if off.numel() else 0.0
