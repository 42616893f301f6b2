"""The way back, from an op of a program to a module of torch: what rooms make it of.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from sluicegate.ops.frame.room import Written


def filled(module: nn.Module, op: Written) -> nn.Module:
    """A module with the tensors of an op, which has all of its own."""
    module.load_state_dict(dict(op.tensors))
    return module


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


class Joining(nn.Module):
    """Of an op that reads several values. What any other op reads beyond its first value is added to what it makes."""


class ChannelWeights(nn.Module):
    """Of a norm with weight and bias [C], either or both."""

    def __init__(self, op: Written) -> None:
        super().__init__()
        self.eps = op.has["eps"]
        self.weight, self.bias = (
            nn.Parameter(op.tensors[name]) if name in op.tensors else None for name in ("weight", "bias")
        )
