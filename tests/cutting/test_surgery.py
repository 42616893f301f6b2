"""What a graph must keep right when values share memory, and layers are called twice."""

import pytest
import torch
from random_nets import randomise_norms
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.nets import build_net

EXAMPLE = torch.zeros(1, 3, 8, 8)


class _PreActivated(nn.Module):
    """Its branch writes into what it reads: a mask gave it memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.drop, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(), nn.ReLU(inplace=True)
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.end = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        branch = self.norm(self.conv(self.relu(self.drop(x).clone())))
        return self.end((x + branch).mean((2, 3)))


class _CalledTwice(nn.Module):
    """Its convolution is gated in one place alone, and has a neighbour of the name that a second one would get."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv_2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu, self.end = nn.ReLU(), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        x = self.conv_2(x)
        return self.end(self.relu(self.conv(x)).mean((2, 3)))


class _Grown(nn.Module):
    """Two layers add channels. Norms come behind the concatenation: to what they see a missing channel is a number."""

    def __init__(self, kernel: int, last_norm: bool) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.before, self.conv = nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(10), nn.ReLU(inplace=True)
        self.next = nn.Conv2d(10, 4, kernel, padding=kernel // 2, bias=False)
        self.last, self.end = nn.BatchNorm2d(14) if last_norm else nn.Identity(), nn.Linear(14, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, self.conv(self.before(x))], 1)
        x = torch.cat([x, self.next(self.relu(self.norm(x)))], 1)
        return self.end(self.last(x).mean((2, 3)))


def _decided(net: nn.Module, at: str, open_gates: slice) -> sg.GatedModel:
    gated = sg.gate_model(randomise_norms(net), sg.ChannelGating(at, head=sg.LearnedLogits), EXAMPLE).eval()
    with torch.no_grad():
        for parameter in gated.gate_parameters():
            parameter.fill_(-1.0)
            parameter[open_gates] = 1.0
    return gated


def _check(gated: sg.GatedModel) -> None:
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(sg.prune(gated)(images), gated(images), rtol=1e-5, atol=1e-5)


def test_a_branch_does_not_write_into_the_trunk() -> None:
    torch.manual_seed(0)
    for open_gates in (slice(None), slice(2, 6)):
        _check(_decided(_PreActivated(), "inp", open_gates))


def test_a_layer_that_is_called_twice() -> None:
    torch.manual_seed(0)
    _check(_decided(_CalledTwice(), "conv_2", slice(1, None)))


def test_a_branch_of_constants_under_an_open_layer_is_a_number_a_channel() -> None:
    torch.manual_seed(0)
    gating = [sg.LayerGating(head=sg.LearnedLogits), sg.ChannelGating("inp", head=sg.LearnedLogits)]
    gated = sg.gate_model(randomise_norms(_PreActivated()), gating, EXAMPLE).eval()
    with torch.no_grad():
        for parameter in gated.gate_parameters():
            parameter.copy_(torch.tensor([-1.0, 1.0]) if len(parameter) == 2 else torch.full_like(parameter, -1.0))
    plain = sg.prune(gated)
    _check(gated)
    assert not hasattr(plain, "conv")
    assert [name for name, _ in plain.named_buffers()] == ["norm_constant"]


@pytest.mark.parametrize("last_norm", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_layer_without_padding_takes_numbers_of_missing_channels_into_its_bias(kernel: int, last_norm: bool) -> None:
    """Where a window sees less of them at the edge, they are filled in."""
    torch.manual_seed(0)
    gated = _decided(_Grown(kernel, last_norm), "growth", slice(1, 3))
    plain = sg.prune(gated)
    _check(gated)
    taken_in = kernel == 1
    assert plain.get_submodule("conv").out_channels == 2
    assert plain.get_submodule("norm").num_features == 8
    assert plain.get_submodule("next").in_channels == (8 if taken_in else 10)
    assert ("next.bias" in plain.state_dict()) == taken_in
    assert bool([name for name, _ in plain.named_buffers() if name.endswith("_kept")]) == (not taken_in)


@pytest.mark.parametrize("at", ["growth", "all"])
def test_a_dense_network_is_pruned_without_picking_channels(at: str) -> None:
    torch.manual_seed(0)
    gated = _decided(build_net("densenet_bc16_k4"), at, slice(None, None, 2))
    _check(gated)
    assert not any(name.endswith("_kept") for name, _ in sg.prune(gated).named_buffers())
