"""What torch says in one op and a program in several, or the other way round; gates see through it."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import lower
from sluicegate.lowering.verify import verify_lowered
from sluicegate.ops import call_of, read_network


class Two(nn.Module):
    """A function of two convolutions' outputs and a weight, read by a third."""

    def __init__(self, compute: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.weight, self.relu, self.compute = nn.Parameter(torch.rand(8, 1, 1)), nn.ReLU(), compute

    def forward(self, x: Tensor) -> Tensor:
        made = self.compute(self.relu(self.a(x)), self.relu(self.b(x)), self.weight)
        return self.last(made).mean((2, 3))


def _in_place(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    x -= y
    return x


def _space_to_depth(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """2 x 2 pixels of each of two channels as eight channels."""
    n, _, h, w = x.shape
    parts = x[:, :2].view(n, 2, h // 2, 2, w // 2, 2).permute(0, *order, 2, 4)
    return parts.reshape(n, 8, h // 2, w // 2)


SPELLINGS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "an operator": lambda x, y, w: x - y,
    "in place": _in_place,
    "a method in place": lambda x, y, w: x.sub_(y),
    "scaled": lambda x, y, w: torch.sub(x, y, alpha=2),
    "a scaled method": lambda x, y, w: x.add(y, alpha=0.5),
    "addcmul": lambda x, y, w: torch.addcmul(x, x, y, value=3),
    "a square": lambda x, y, w: x + y**2,
    "a square of a product": lambda x, y, w: torch.square(x * y),
    "an outer product": lambda x, y, w: x.mean((2, 3), keepdim=True) * y.mean(1, keepdim=True),
    "an outer product with a slice": lambda x, y, w: x + y[:, :1] * x.amax((2, 3), keepdim=True),
    "pixels as channels": lambda x, y, w: _space_to_depth(x + y, (1, 3, 5)),
    "pixels as channels, in another order": lambda x, y, w: _space_to_depth(x + y, (3, 5, 1)),
    "a pad that shifts": lambda x, y, w: F.pad(x, (-1, 1, -1, 1)) + y,
    "a pad that takes away": lambda x, y, w: F.pad(x + y, (1, -2, 0, -1)),
    "less a weight": lambda x, y, w: x + y - w,
    "a weight less a value": lambda x, y, w: w - (x + y),
}


@pytest.mark.cases(6)
@pytest.mark.parametrize("compute", SPELLINGS.values(), ids=SPELLINGS)
def test_it_runs_in_the_engine(compute: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    images = torch.randn(2, 3, 12, 12)
    gated = sg.gate_model(Two(compute), sg.ChannelGating("all", initial_open_rate=0.6, keep_open=1), images)
    verify_lowered(gated, lower(gated), images)


def test_a_difference_of_closed_channels_is_closed() -> None:
    graph = read_network(Two(lambda x, y, w: x - y), torch.zeros(1, 3, 12, 12))
    assert [call.kind for node in graph.graph.nodes if (call := call_of(node))].count("add") == 1


def test_numbers_are_left_alone() -> None:
    graph = read_network(Two(lambda x, y, w: (x - 1) * (y.shape[2] - 1)), torch.zeros(1, 3, 12, 12))
    assert [call.kind for node in graph.graph.nodes if (call := call_of(node))].count("affine") == 2


def test_views_that_are_no_unshuffle_are_left_alone() -> None:
    graph = read_network(Two(lambda x, y, w: _space_to_depth(x, (5, 3, 1))), torch.zeros(1, 3, 12, 12))
    assert "pixel_unshuffle" not in [call.kind for node in graph.graph.nodes if (call := call_of(node))]


@pytest.mark.parametrize("padding", [(-1, 1, -1, 1), (0, -2, 3, -1)])
def test_a_module_that_pads_by_less_than_nothing(padding: tuple[int, int, int, int]) -> None:
    images = torch.randn(2, 3, 12, 12)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ZeroPad2d(padding), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1))
    gated = sg.gate_model(net, sg.ChannelGating("all", initial_open_rate=0.6, keep_open=1), images)
    verify_lowered(gated, lower(gated), images)


@pytest.mark.parametrize("fill", [-math.inf, -2.0])
def test_a_pad_before_a_max_pool(fill: float) -> None:
    images = torch.randn(2, 3, 12, 12)
    gated = sg.gate_model(
        Two(lambda x, y, w: F.max_pool2d(F.pad(x + y, (0, 1, 0, 1), value=fill), 3, 2)),
        sg.ChannelGating("all", initial_open_rate=0.6, keep_open=1),
        images,
    )
    verify_lowered(gated, lower(gated), images)


class Named(nn.Module):
    """Modules that are called as functions are."""

    def __init__(self) -> None:
        super().__init__()
        self.sub, self.view, self.square = nn.Bilinear(4, 4, 4), nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.square(self.view(self.sub(x, x)))


def test_a_module_is_not_taken_for_what_it_is_called() -> None:
    net, x = Named().eval(), torch.randn(3, 4)
    torch.testing.assert_close(read_network(net, x)(x), net(x))
