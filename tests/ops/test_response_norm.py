"""Global response norm of ConvNeXt V2: read from timm's module, whichever side its channels are; the engine agrees."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.ops import kind_of, read_network

GlobalResponseNorm = pytest.importorskip("timm.layers.grn").GlobalResponseNorm


class Block(nn.Module):
    """ConvNeXt V2's block, with linear layers or 1x1 convolutions."""

    def __init__(self, channels: int, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.grn = GlobalResponseNorm(2 * channels, channels_last=channels_last)
        nn.init.normal_(self.grn.weight)
        nn.init.normal_(self.grn.bias)
        sizes = (channels, 2 * channels), (2 * channels, channels)
        self.fc1, self.fc2 = (nn.Linear(*n) if channels_last else nn.Conv2d(*n, 1) for n in sizes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x)
        y = y.permute(0, 2, 3, 1) if self.channels_last else y
        y = self.fc2(self.grn(self.fc1(y).relu()))
        return x + (y.permute(0, 3, 1, 2) if self.channels_last else y)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_file_computes_what_torch_does(channels_last: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), Block(6, channels_last), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(4, 3, 9, 9)
    assert "response_norm" in map(kind_of, read_network(net, (images,)).graph.nodes)
    gated = sg.gate_model(net, sg.LayerGating(initial_open_rate=0.5), images).eval()
    file_agrees(gated, images, tmp_path)


def test_over_other_sides_it_is_not_known() -> None:
    net = nn.Sequential(GlobalResponseNorm(5, channels_last=True)).eval()
    images = torch.randn(2, 3, 4, 5)
    assert "response_norm" not in map(kind_of, read_network(net, (images,)).graph.nodes)
