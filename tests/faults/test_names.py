"""Names that look alike, or that two things share, mix nothing up."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees
from torch import Tensor, nn

import sluicegate as sg

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Alike(nn.Module):
    """Two branches whose layers are called `a.b` and `a_b`, or a layer that is called as another layer's gate."""

    def __init__(self, names: tuple[str, str]) -> None:
        super().__init__()
        self.names = names
        for name in names:
            parent, _, last = name.rpartition(".")
            if parent and not hasattr(self, parent):
                self.add_module(parent, nn.Module())
            self.get_submodule(parent).add_module(last, nn.Conv2d(3, 6, 3, padding=1))
        self.back = nn.ModuleList(nn.Conv2d(6, 3, 3, padding=1) for _ in names)
        self.last = nn.Conv2d(3, 5, 8)

    def forward(self, x: Tensor) -> Tensor:
        for name, back in zip(self.names, self.back, strict=True):
            x = x + back(self.get_submodule(name)(x).relu())
        return self.last(x).flatten(1)


@pytest.mark.parametrize(
    "names",
    [("a.b", "a_b"), ("a_b", "a.b"), ("gate", "gates_gate"), ("relu", "relu_1"), ("add", "mul"), ("open", "logits")],
)
@pytest.mark.parametrize("gating", [sg.ChannelGating(initial_open_rate=0.5), sg.JointGating(initial_open_rate=0.5)])
def test_names_that_look_alike(names: tuple[str, str], gating, tmp_path: Path) -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(Alike(names), gating, IMAGES[:1]).eval()
    channels = [name for name, site in gated.sites.items() if site.kind == "channel"]
    assert len(channels) == 2 and len(set(channels)) == 2
    result = file_agrees(gated, IMAGES, tmp_path)
    assert set(result.gates) == set(gated.sites)


class Twice(nn.Module):
    """One layer called in two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + self.down(self.up(x).relu())
        return x.mean((2, 3))


def test_a_layer_that_is_called_twice_has_two_sites(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(Twice(), sg.ChannelGating(initial_open_rate=0.5), IMAGES[:1]).eval()
    assert len(gated.sites) == 2
    file_agrees(gated, IMAGES, tmp_path)
