"""Channels that go several ways, and channels that are torn apart: one site each, with all of the work behind it."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.lowering import lower
from sluicegate.lowering.verify import verify_lowered


def conv(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class Ghost(nn.Module):
    """Half of the channels are made of the other half (GhostNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.cheap, self.relu = conv(4, 8), conv(8, 8, 3, 8), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return torch.cat([x, self.relu(self.cheap(x))], 1)


class Repeated(nn.Module):
    """A norm beside a depthwise convolution (RepGhost, mobile one)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.cheap, self.norm, self.relu = conv(4, 8), conv(8, 8, 3, 8), nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.relu(self.cheap(x) + self.norm(x))


class Mixed(nn.Module):
    """Depthwise convolutions of several sizes, each on some of the channels, and a norm behind (MixNet)."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 8 // layers, 1, bias=False) for _ in range(layers))
        self.small, self.large = conv(4, 4, 3, 4), conv(4, 4, 5, 4)
        self.norm, self.last, self.relu = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(torch.cat([layer(x) for layer in self.layers], 1)))
        a, b = x.split([4, 4], 1)
        return self.relu(self.last(torch.cat([self.small(a), self.large(b)], 1)))


BLOCKS = {"ghost": Ghost, "a norm beside": Repeated, "mixed": Mixed, "mixed, of two layers": lambda: Mixed(2)}
OUT = {"ghost": 16}


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 4, 3), nn.ReLU(), BLOCKS[kind](), conv(OUT.get(kind, 8), 4, 3), nn.AdaptiveAvgPool2d(1))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_mean)  # type: ignore[arg-type]
    return net.eval()


def gated_network(kind: str) -> sg.GatedModel:
    gated = sg.gate_model(network(kind), sg.ChannelGating("all", initial_open_rate=0.5), torch.zeros(1, 3, 9, 9))
    for gate in gated.gates.values():
        nn.init.normal_(gate.head.outputs[0].weight, std=2.0)  # type: ignore[union-attr,index,arg-type]
    return gated.eval()


def records(gated: sg.GatedModel, closed: Iterable[str]) -> GateRecords:
    """What gates say where all of some sites are closed."""
    opens = {name: torch.full((1, site.gates), float(name not in closed)) for name, site in gated.sites.items()}
    return GateRecords({name: GateRecord(gated.sites[name], is_open, is_open) for name, is_open in opens.items()})


@pytest.mark.cases(2)
@pytest.mark.parametrize("kind", BLOCKS)
def test_the_engine_skips_what_is_counted(kind: str) -> None:
    gated, images = gated_network(kind), torch.randn(2, 3, 9, 9)
    verify_lowered(gated, lower(gated), images)


@pytest.mark.parametrize("kind", BLOCKS)
def test_one_site_closes_all_of_a_block(kind: str) -> None:
    gated = gated_network(kind)
    _, inside = gated.sites
    left = gated.macs.macs_by_module(records(gated, [inside]))
    assert all(int(macs) == 0 for name, macs in left.items() if name.startswith("2."))
    assert int(left["3.0"]) == 0  # who reads them


@pytest.mark.parametrize("kind", BLOCKS)
def test_its_gates_look_at_what_the_block_reads(kind: str) -> None:
    gated = gated_network(kind)
    first, inside = gated.sites.values()
    assert inside.reads == first.masks


class OverChannels(nn.Module):
    """Factors from a convolution that slides over the channels of a pooled value (ECA), in a chain of layers."""

    def __init__(self, expanded: bool) -> None:
        super().__init__()
        self.conv, self.expanded = nn.Conv1d(1, 1, 3, padding=1, bias=False), expanded

    def forward(self, x: Tensor) -> Tensor:
        factor = self.conv(x.mean((2, 3)).view(x.shape[0], 1, -1)).view(x.shape[0], -1, 1, 1).sigmoid()
        return x * (factor.expand_as(x) if self.expanded else factor)


@pytest.mark.parametrize("expanded", [True, False])
def test_a_convolution_over_channels_is_no_place(expanded: bool) -> None:
    net = nn.Sequential(conv(3, 8), nn.ReLU(), OverChannels(expanded), conv(8, 4), nn.AdaptiveAvgPool2d(1))
    images = torch.randn(2, 3, 9, 9)
    gated = sg.gate_model(net.eval(), sg.ChannelGating("all", keep_open=1), images)
    assert list(gated.sites) == ["0.0"]
    verify_lowered(gated, lower(gated), images)


def test_layers_with_gates_of_their_own_get_no_second_ones() -> None:
    paths = nn.ModuleList(nn.Sequential(conv(4, 4), nn.ReLU()) for _ in range(2))

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.paths = paths

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([path(x) for path in self.paths], 1)

    net = nn.Sequential(conv(3, 4), nn.ReLU(), Joined(), conv(8, 4), nn.AdaptiveAvgPool2d(1))
    gated = sg.gate_model(net, sg.ChannelGating("all"), torch.zeros(1, 3, 9, 9))
    assert set(gated.sites) == {"0.0", "2.paths.0.0.0", "2.paths.1.0.0"}
