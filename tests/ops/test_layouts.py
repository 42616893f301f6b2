"""A product looks at which sides are channels on both sides of it; where they do not fit it is not known."""

from collections.abc import Callable

import pytest
import torch
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


KNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "one a pixel": lambda x: torch.sigmoid(x.mean(-1, keepdim=True)),
    "one a channel": lambda x: torch.sigmoid(x.mean((1, 2), keepdim=True)),
}


@pytest.mark.parametrize("factor", KNOWN.values(), ids=KNOWN)
def test_a_factor_with_the_same_sides_runs_in_the_engine(factor: Callable[[Tensor], Tensor]) -> None:
    images = torch.randn(2, 3, 8, 8)
    gated = sg.gate_model(ChannelsLast(factor), sg.ChannelGating("all", keep_open=1), images)
    verify_lowered(gated, lower(gated), images)
