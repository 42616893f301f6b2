"""A product looks at which sides are channels on both sides of it; where they do not fit it is not known."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import lower
from sluicegate.lowering.verify import verify_lowered


class ChannelsLast(nn.Module):
    """A convolution, then a product in [N, H, W, C], then two linear layers."""

    def __init__(self, factor: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.factor = nn.Conv2d(3, 8, 3), factor
        self.hidden, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).permute(0, 2, 3, 1)
        return self.last(torch.relu(self.hidden(x * self.factor(x)))).mean((1, 2))


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "one a pixel": lambda x: torch.rsqrt(x.var(-1, keepdim=True) + 1e-5),
    "one a channel": lambda x: torch.rsqrt(x.var((1, 2), keepdim=True) + 1e-5),
}


@pytest.mark.parametrize("factor", UNKNOWN.values(), ids=UNKNOWN)
def test_a_factor_that_no_room_knows_is_refused_by_the_export_alone(factor: Callable[[Tensor], Tensor]) -> None:
    gated = sg.gate_model(ChannelsLast(factor), sg.ChannelGating("hidden"), torch.zeros(1, 3, 8, 8))
    with pytest.raises(sg.InputError, match="'var' cannot be exported: var is used in a way that no op covers"):
        lower(gated)


class PerImage(nn.Module):
    """A convolution whose weights each image makes, as one of many groups (CondConv)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)
        self.route, self.layers = nn.Linear(8, 8 * 8), layers

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(self.layers):
            weight = self.route(x.mean((2, 3))).view(-1, 8, 1, 1)
            x = F.conv2d(x.reshape(1, -1, 6, 6), weight, groups=x.shape[0]).view(-1, 8, 6, 6)
        return self.last(x).mean((2, 3))


@pytest.mark.parametrize("layers", [1, 2])
def test_as_many_groups_as_images_are_counted_and_not_exported(layers: int) -> None:
    net, image = PerImage(layers), torch.zeros(1, 3, 8, 8)
    assert sg.MacModel(net, image).dense == 36 * (3 * 8 * 9 + 8 * 4) + layers * (8 * 64 + 36 * 8 * 8)
    with pytest.raises(sg.InputError, match=r"^net: '\w+' cannot be exported: \w+ is used in a way that no op covers"):
        lower(net, image)


KNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "one a pixel": lambda x: torch.sigmoid(x.mean(-1, keepdim=True)),
    "one a channel": lambda x: torch.sigmoid(x.mean((1, 2), keepdim=True)),
}


@pytest.mark.parametrize("factor", KNOWN.values(), ids=KNOWN)
def test_a_factor_with_the_same_sides_runs_in_the_engine(factor: Callable[[Tensor], Tensor]) -> None:
    images = torch.randn(2, 3, 8, 8)
    gated = sg.gate_model(ChannelsLast(factor), sg.ChannelGating("all", keep_open=1), images)
    verify_lowered(gated, lower(gated), images)
