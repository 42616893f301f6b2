"""Grouped convolutions that make more channels than they read: counted as the engine runs them, whatever is closed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from agreement import file_agrees, gated_like, reference_agrees
from torch import Tensor, nn

import sluicegate as sg

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Multiplied(nn.Module):
    """x + f(x), where f widens each group of channels by a multiplier and a 1x1 convolution brings them back."""

    def __init__(self, groups: int, made: int, norm: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.expand = nn.Conv2d(8, 8, 1)
        self.deep = nn.Conv2d(8, made, 3, padding=1, groups=groups, bias=not norm)
        self.norm = nn.BatchNorm2d(made) if norm else nn.Identity()
        self.project = nn.Conv2d(made, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = torch.relu(self.norm(self.deep(torch.relu(self.expand(x)))))
        return self.fc((x + self.project(inner)).mean((2, 3)))


GATINGS: dict[str, Any] = {
    "layers": sg.LayerGating(),
    "mid": sg.ChannelGating(),
    "inp and out": sg.ChannelGating(["inp", "out"]),
    "joint": sg.JointGating(sg.ChannelGating(["mid", "inp", "out"])),
    "larger units": sg.ChannelGating(granularity={"expand": 4, "deep": 4, "project": 4}),
}


@pytest.mark.cases(10)
@pytest.mark.parametrize("gating", GATINGS.values(), ids=GATINGS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("groups, made", [(8, 16), (8, 24), (4, 16), (2, 8)])
def test_the_model_counts_what_the_engine_runs(groups: int, made: int, norm: bool, gating: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    gated = gated_like(Multiplied(groups, made, norm).eval(), gating, IMAGES)
    file_agrees(gated, IMAGES, tmp_path)
    reference_agrees(gated, IMAGES)


@pytest.mark.parametrize("groups, made", [(8, 16), (8, 24), (4, 16)])
def test_a_layer_gate_saves_every_multiply_of_its_branch(groups: int, made: int) -> None:
    gated = sg.gate_model(Multiplied(groups, made, False), sg.LayerGating(), IMAGES).eval()
    _, gates = gated(IMAGES, return_gates=True)
    (name,) = gates
    macs = {}
    for is_open in (0, 1):
        decided = sg.GateRecords({name: gates[name]._replace(open=torch.full_like(gates[name].open, is_open))})
        macs[is_open] = int(gated.macs(decided)[0])
    assert macs[1] - macs[0] == 64 * (8 * 8 + 9 * 8 * made // groups + made * 8)
