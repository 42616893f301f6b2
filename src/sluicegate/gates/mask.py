"""How gates act on values: closed channels and layers become exactly zero, and exits select the output.

Legend: N images, C channels, H W pixels, G gates, K outputs of the network.

    mask_channels, mask_layer          x f
    masked_relu                        relu(x) f
    masked_sum                         s + x f, or relu(s + x f)
    leave                              x (1 - f) + y f

Costs and export look for graph nodes of mask_channels, mask_layer and leave. masked_relu and masked_sum run a mask
together with its neighbour (convert/fused.py). Masks have their own backward, because each block has several masks and
a step is limited by memory there: in maps that are read, written or kept, a separate mask costs more than a ReLU.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def mask_channels(x: Tensor, factor: Tensor, dim: int = 1, gates: Sequence[int] = ()) -> Tensor:
    """x [N, C, H, W] and factor [N, G] -> x with the channels of closed gates zero; a gate switches C / G adjacent
    ones, or those for which `gates` [C] names it, where -1 stands for a channel without a gate. `dim` says which side
    of x its channels are."""
    if gates:
        factor = F.pad(factor, (0, 1), value=1.0)[:, list(gates)]  # [N, C]
    if dim == 1:
        return _masked(_Product, x, factor.to(x.dtype))
    return x * _spread_along(factor.to(x.dtype), x, dim)


def mask_layer(x: Tensor, factor: Tensor) -> Tensor:
    """x [N, C, H, W], the end of a residual branch, and factor [N, 1] -> x, zero for the images that skip the
    branch."""
    return _masked(_Product, x, factor.to(x.dtype))


def leave(early: Tensor, is_open: Tensor, later: Tensor) -> Tensor:
    """The later output [N, K] if the gate of an exit is_open [N, 1], otherwise the exit's own output, early [N, K];
    each exactly."""
    return torch.lerp(early.to(later.dtype), later, is_open.to(later.dtype))


def closed_with(is_open: Tensor, layer_open: Tensor) -> Tensor:
    """Channel gates [N, G], closed for images that skip the layer, layer_open [N, 1]. No gradient reaches the layer's
    gate through this."""
    return is_open * layer_open.detach()


def masked_relu(x: Tensor, factor: Tensor) -> Tensor:
    """mask_channels(relu(x), factor); x is overwritten, so what made it must not need it for its gradient."""
    return _masked(_ReluProduct, x, factor.to(x.dtype))


def masked_sum(x: Tensor, factor: Tensor, shortcut: Tensor, relu: bool = False) -> Tensor:
    """shortcut + mask_layer(x, factor), and the ReLU of that where it is asked for."""
    if x.dtype == shortcut.dtype:
        return _masked(_Sum, x, factor.to(x.dtype), shortcut, relu)
    total = shortcut + mask_layer(x, factor)
    return total.relu() if relu else total


class _Mask(torch.autograd.Function):
    """A mask: its value in torch's own ops, and a backward."""

    @staticmethod
    @abstractmethod
    def value(*inputs: Any) -> Tensor:
        """What forward gives."""


def _masked(mask: type[_Mask], *inputs: Any) -> Tensor:
    """With torch's own ops if there is no backward, and for tools that record torch's ops."""
    if torch.jit.is_tracing() or not torch.is_grad_enabled():  # pyright: ignore[reportPrivateImportUsage]
        return mask.value(*inputs)
    return mask.apply(*inputs)  # type: ignore[no-any-return]


class _Product(_Mask):
    """x times factor, each gate over its C / G channels."""

    @staticmethod
    def value(x: Tensor, factor: Tensor) -> Tensor:
        return x * _spread(factor, x)

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, factor)
        return _Product.value(x, factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        x, factor = ctx.saved_tensors
        return _product_rule(grads[0], x, factor, ctx.needs_input_grad[1])


class _ReluProduct(_Mask):
    """relu(x) times factor; what is kept is relu(x), in the memory of x."""

    @staticmethod
    def value(x: Tensor, factor: Tensor) -> Tensor:
        return F.relu(x, inplace=not torch.is_grad_enabled()) * _spread(factor, x)

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        positive = x.detach().relu_()
        ctx.save_for_backward(positive, factor)
        return positive * _spread(factor, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        positive, factor = ctx.saved_tensors
        (grad,) = grads
        product = grad * positive
        d_factor = _gathered(product, factor) if ctx.needs_input_grad[1] else None
        torch.ops.aten.threshold_backward.grad_input(grad, positive, 0, grad_input=product)
        return product.mul_(_spread(factor, positive)), d_factor


class _Sum(_Mask):
    """shortcut plus x times factor, and ReLU."""

    @staticmethod
    def value(x: Tensor, factor: Tensor, shortcut: Tensor, relu: bool) -> Tensor:
        total = torch.addcmul(shortcut, x, _spread(factor, x))
        return total.relu_() if relu else total

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, shortcut: Tensor, relu: bool) -> Tensor:
        total = _Sum.value(x, factor, shortcut, relu)
        ctx.save_for_backward(x, factor, total if relu else None)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None]:
        x, factor, total = ctx.saved_tensors
        (grad,) = grads
        if total is not None:
            grad = torch.ops.aten.threshold_backward(grad, total, 0)
        return *_product_rule(grad, x, factor, ctx.needs_input_grad[1]), grad, None


def _product_rule(grad: Tensor, x: Tensor, factor: Tensor, of_factor: bool) -> tuple[Tensor, Tensor | None]:
    """The gradients of x times factor; one buffer serves both."""
    if not of_factor:
        return grad * _spread(factor, x), None
    product = grad * x
    d_factor = _gathered(product, factor)
    return torch.mul(grad, _spread(factor, x), out=product), d_factor


def _spread(factor: Tensor, x: Tensor) -> Tensor:
    """[N, G] -> [N, C, 1, 1], or [N, 1, 1, 1] where one gate switches all channels."""
    gates, channels = factor.shape[1], x.shape[1]
    if 1 < gates < channels:
        factor = factor.repeat_interleave(channels // gates, dim=1)
    return factor.view(*factor.shape, *(1,) * (x.dim() - 2))


def _spread_along(factor: Tensor, x: Tensor, dim: int) -> Tensor:
    """[N, G] -> [N, 1, ..., C, ..., 1], C at the side `dim`."""
    per_channel = factor.repeat_interleave(x.shape[dim] // factor.shape[1], dim=1)
    return per_channel.view(len(x), *(x.shape[dim] if side == dim else 1 for side in range(1, x.dim())))


def _gathered(product: Tensor, factor: Tensor) -> Tensor:
    """[N, C, H, W] or [N, C] -> [N, G], the sum over the channels and pixels of each gate."""
    per_channel = product.flatten(2).sum(2) if product.dim() > 2 else product.clone()  # [N, C]
    gates = factor.shape[1]
    return per_channel if gates == per_channel.shape[1] else per_channel.unflatten(1, (gates, -1)).sum(-1)
