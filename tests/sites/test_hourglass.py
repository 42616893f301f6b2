"""Stages of trunks that go down and up again: in order of execution, each resolution as often as it comes."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.graph import shape
from sluicegate.ops import read_network
from sluicegate.sites import find_stages

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Residual(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def hourglass(up: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), Residual(), nn.MaxPool2d(2), Residual(), up, Residual()),
        *(nn.AvgPool2d(4), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "up", [nn.Upsample(scale_factor=2), nn.ConvTranspose2d(8, 8, 2, 2)], ids=["resized", "transposed convolution"]
)
def test_each_way_has_its_stages(up: nn.Module, tmp_path: Path) -> None:
    net = hourglass(up)
    stages = find_stages(read_network(net, (IMAGES,)))
    assert [shape(stage.value)[2] for stage in stages] == [16, 8, 16]
    assert [stage.name for stage in stages] == ["1", "3", "5"]
    gated = sg.gate_model(net, sg.ExitGating(initial_open_rate=0.6), IMAGES[:1]).eval()
    for gate in gated.gates.values():
        for layer in gate.head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=2.0)
    assert list(gated.sites) == ["1.exit", "3.exit", "5.exit"]
    file_agrees(gated, IMAGES, tmp_path)
