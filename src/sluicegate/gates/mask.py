"""How a closed gate acts on a value: it becomes exactly zero.

Legend: N images, C channels, H W pixels, G gates.

Graph nodes with these two targets are what costs and export look for. The product has a backward of its own because it
runs twice in every block: one buffer serves both gradients, and on a CPU a fresh feature map costs more than its
arithmetic.
"""

from typing import Any

import torch
from torch import Tensor


def mask_channels(x: Tensor, is_open: Tensor) -> Tensor:
    """x [N, C, H, W] and is_open [N, G] -> x with the channels of closed gates zero; a gate switches C / G adjacent
    ones."""
    return _GatedProduct.apply(x, is_open.to(x.dtype))  # type: ignore[no-any-return]


def mask_layer(x: Tensor, is_open: Tensor) -> Tensor:
    """x [N, C, H, W], the end of a residual branch, and is_open [N, 1] -> x, zero for the images that skip the
    branch."""
    return _GatedProduct.apply(x, is_open.to(x.dtype))  # type: ignore[no-any-return]


class _GatedProduct(torch.autograd.Function):
    """x times is_open, each gate over its C / G channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, is_open: Tensor) -> Tensor:
        ctx.save_for_backward(x, is_open)
        return x * _spread(is_open, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        x, is_open = ctx.saved_tensors
        (grad,) = grads
        if not ctx.needs_input_grad[1]:
            return grad * _spread(is_open, x), None
        product = grad * x
        per_channel = product.sum(tuple(range(2, x.dim())))  # [N, C]
        d_open = per_channel.unflatten(1, (is_open.shape[1], -1)).sum(-1)  # [N, G]
        return torch.mul(grad, _spread(is_open, x), out=product), d_open


def _spread(is_open: Tensor, x: Tensor) -> Tensor:
    """[N, G] -> [N, C, 1, 1], or [N, 1, 1, 1] where one gate switches all channels."""
    gates, channels = is_open.shape[1], x.shape[1]
    if 1 < gates < channels:
        is_open = is_open.repeat_interleave(channels // gates, dim=1)
    return is_open.view(*is_open.shape, *(1,) * (x.dim() - 2))
