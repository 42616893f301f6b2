"""Tensors that a network's own code makes while it runs are constants of the graph."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg


class Positions(nn.Module):
    """Adds to each pixel where it stands, before and behind layers."""

    def __init__(self, positions: Callable[[Tensor], Tensor], norm: nn.Module) -> None:
        super().__init__()
        self.positions, self.norm = positions, norm
        self.first, self.hidden, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.hidden(self.positions(self.first(x)))))).mean((2, 3))


MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "a vector": lambda x: x + torch.arange(x.shape[3]),
    "of a value's device": lambda x: x * torch.linspace(0, 1, x.shape[2], device=x.device)[:, None],
    "for each image": lambda x: x + torch.ones_like(x[:, :1]).cumsum(2) / torch.arange(1, 7),
}


@pytest.mark.parametrize("positions", MADE.values(), ids=MADE)
@pytest.mark.parametrize("norm", [nn.Identity(), nn.BatchNorm2d(8)], ids=["without buffers", "with buffers"])
def test_the_graph_computes_what_the_network_does(positions: Callable[[Tensor], Tensor], norm: nn.Module) -> None:
    net, images = Positions(positions, norm), torch.randn(3, 3, 8, 8)
    gated = sg.gate_model(net, sg.ChannelGating("all"), images[:1])
    gated.strategy = sg.AlwaysOn()
    torch.testing.assert_close(gated.eval()(images), net.eval()(images))
