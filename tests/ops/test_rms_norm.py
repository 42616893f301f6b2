"""Root mean square norm: read from torch's and timm's modules, whichever side its channels are; the engine agrees."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import lift, lower
from sluicegate.ops import kind_of, read_network
from sluicegate_runtime import without_gates


class Block(nn.Module):
    """A norm before two linear layers with channels last, or before 1x1 convolutions."""

    def __init__(self, norm: nn.Module, channels: int, channels_last: bool) -> None:
        super().__init__()
        self.channels_last, self.norm = channels_last, norm
        for weight in norm.parameters():
            nn.init.normal_(weight)
        sizes = (channels, 2 * channels), (2 * channels, channels)
        self.fc1, self.fc2 = (nn.Linear(*n) if channels_last else nn.Conv2d(*n, 1) for n in sizes)

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1) if self.channels_last else x
        y = self.fc2(self.fc1(self.norm(y)).relu())
        return x + (y.permute(0, 3, 1, 2) if self.channels_last else y)


def _net(norm: nn.Module, channels_last: bool) -> nn.Module:
    block = Block(norm, 6, channels_last)
    return nn.Sequential(nn.Conv2d(3, 6, 3), block, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def _agrees(net: nn.Module, folder: Path) -> None:
    images = torch.randn(4, 3, 9, 9)
    assert "rms_norm" in map(kind_of, read_network(net, (images,)).graph.nodes)
    gated = sg.gate_model(net, sg.ChannelGating(initial_open_rate=0.5), images).eval()
    assert set(gated.sites) == {"1.fc1"}, "no gate closes what a norm reads"
    file_agrees(gated, images, folder)
    lifted = lift(without_gates(lower(gated).artifact))
    torch.testing.assert_close(lifted(images), net(images))


@pytest.mark.parametrize("eps", [None, 1e-2])
@pytest.mark.parametrize("affine", [True, False])
def test_the_file_computes_what_torch_does(eps: float | None, affine: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    _agrees(_net(nn.RMSNorm(6, eps, affine), True), tmp_path)


@pytest.mark.parametrize("channels_last", [True, False])
def test_timms_modules_too(channels_last: bool, tmp_path: Path) -> None:
    norms = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    _agrees(_net((norms.RmsNorm if channels_last else norms.RmsNorm2d)(6), channels_last), tmp_path)


def test_over_other_sides_it_is_not_known() -> None:
    images = torch.randn(2, 3, 4, 5)
    assert "rms_norm" not in map(kind_of, read_network(nn.Sequential(nn.RMSNorm(5)), (images,)).graph.nodes)
