"""Weights that hooks compute are refused in one line that names the module; parametrized ones are what is computed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from agreement import agrees, one_line
from torch import nn
from torch.nn.utils import parametrizations, prune

import sluicegate as sg

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def net_of(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    change(layers[2])
    return nn.Sequential(*layers)


HOOKS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "prune": lambda module: prune.l1_unstructured(module, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("after_a_pass", [False, True])
def test_hooks_are_refused_or_followed(name: str, after_a_pass: bool, tmp_path: Path) -> None:
    net = net_of(HOOKS[name]).eval()
    if after_a_pass:
        net(IMAGES)
    path = tmp_path / "net.sluice"
    for act in (
        lambda: sg.gate_model(net, sg.ChannelGating("all"), IMAGES[:1]),
        lambda: sg.export(net, path, IMAGES[:1]),
    ):
        with pytest.raises(sg.InputError) as caught:
            act()
        assert re.search(r"\b2\b", one_line(caught.value)) and "hook" in one_line(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("change", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrizations_are_followed_or_refused(change: Callable[[nn.Module], nn.Module], tmp_path: Path) -> None:
    net = net_of(change)
    try:
        agrees(net, IMAGES, tmp_path, sg.ChannelGating("all", initial_open_rate=0.5))
    except sg.InputError as error:
        assert "'2" in one_line(error)
