"""Modules for the ops of a program that torch has as functions alone.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Function(nn.Module):
    """A function of one value, which may be scaled first."""

    def __init__(self, function: Callable[..., Tensor], *arguments: Any, scale: float = 1.0) -> None:
        super().__init__()
        self.function, self.arguments, self.scale = function, arguments, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x if self.scale == 1 else x * self.scale, *self.arguments)


class View(nn.Module):
    """[N, ...] in other sides."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.sides)


class Axes(nn.Module):
    """Some channels or pixels of a value."""

    def __init__(self, cuts: tuple[slice, ...]) -> None:
        super().__init__()
        self.cuts = cuts

    def forward(self, x: Tensor) -> Tensor:
        return x[self.cuts]


class Product(nn.Module):
    """x times factors: of one shape, one a channel (or for some adjacent ones), or one a pixel."""

    def forward(self, x: Tensor, factors: Tensor) -> Tensor:
        if factors.dim() == 2:
            factors = factors.repeat_interleave(x.shape[1] // factors.shape[1], 1)
            factors = factors.reshape(*factors.shape, *(1,) * (x.dim() - 2))
        return x * factors


class _Norm(nn.Module):
    """A norm with weight and bias [C], either or both."""

    def __init__(self, eps: float, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = None if weight is None else nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)


class ChannelNorm(_Norm):
    """Layer norm over the channels of each pixel, [N, C, H, W] or [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        last = torch.movedim(x, 1, -1)
        return torch.movedim(F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.eps), -1, 1)


class ResponseNorm(_Norm):
    """Global response norm of [N, C, H, W] (ConvNeXt V2, section 3.2); its room knows it by this name."""

    spatial_dim, channel_dim = (2, 3), 1

    def forward(self, x: Tensor) -> Tensor:
        lengths = x.norm(dim=(2, 3), keepdim=True)
        normed = x * lengths / (lengths.mean(1, keepdim=True) + self.eps)
        weighted = normed if self.weight is None else normed * self.weight[:, None, None]
        return x + weighted if self.bias is None else x + weighted + self.bias[:, None, None]
