"""Whoever reads a network leaves every module in the mode, training or evaluation, that its owner gave it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import check_exportable, lower
from sluicegate.ops import read_network
from sluicegate.sites import find_branches, find_channels, find_stages

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def frozen() -> nn.Module:
    """A network that is trained with its norms, and one whole block, in evaluation."""
    torch.manual_seed(0)
    stem = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4))
    net = nn.Sequential(*stem, Block(), nn.MaxPool2d(2), Block(), *head).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    net[4].eval()
    return net


def odd() -> nn.Module:
    """A network that is evaluated but for its dropout (Monte Carlo dropout)."""
    net = frozen().eval()
    net.get_submodule("7").train()
    return net


def modes(net: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in net.named_modules()}


READERS: dict[str, Callable[[nn.Module], object]] = {
    "MacModel": lambda net: sg.MacModel(net, IMAGES),
    "gate_model": lambda net: sg.gate_model(net, sg.JointGating(), IMAGES),
    "lower": lambda net: lower(net, IMAGES),
    "find_branches": lambda net: find_branches(read_network(net, IMAGES)),
    "find_channels": lambda net: find_channels(read_network(net, IMAGES)),
    "find_stages": lambda net: find_stages(read_network(net, IMAGES)),
    "check_exportable": lambda net: check_exportable(net, IMAGES),
}


@pytest.mark.parametrize("make", [frozen, odd])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_reading_keeps_modes_and_state(read: Callable[[nn.Module], object], make: Callable[[], nn.Module]) -> None:
    net = make()
    before, state = modes(net), {name: value.clone() for name, value in net.state_dict().items()}
    read(net)
    assert modes(net) == before
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("make", [frozen, odd])
def test_export_keeps_modes(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    net = make()
    before = modes(net)
    sg.export(net, tmp_path / "net.sluice", IMAGES)
    assert modes(net) == before


@pytest.mark.parametrize("make", [frozen, odd])
def test_a_gated_network_has_the_modes_of_its_network(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    net = make()
    gated = sg.gate_model(net, sg.JointGating(), IMAGES)
    kept = {name: mode for name, mode in modes(gated.network).items() if name in modes(net) and name}
    leaves = {name: modes(net)[name] for name, module in net.named_modules() if name and not list(module.children())}
    assert leaves.items() <= kept.items()
    before = modes(gated)
    sg.export(gated, tmp_path / "net.sluice")
    assert modes(gated) == before


def test_a_reading_that_fails_keeps_modes_too() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = frozen()

        def forward(self, x: Tensor) -> Tensor:
            x = self.net(x)
            if x.sum() > 0:
                return x
            return -x

    net = Failing()
    before = modes(net)
    with pytest.raises(sg.InputError, match="cannot be traced"):
        sg.MacModel(net, IMAGES)
    assert modes(net) == before
