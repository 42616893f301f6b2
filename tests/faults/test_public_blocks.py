"""Parts of public networks that were refused in words that no user knows: they run now."""

from pathlib import Path

import pytest
import torch
from agreement import agrees, file_agrees
from torch import Tensor, nn

import sluicegate as sg

IMAGES = torch.randn(4, 3, 17, 15, generator=torch.Generator().manual_seed(0))


class Same(nn.Module):
    """TensorFlow's "same" padding: as much as the size of the image asks, on the right more than on the left."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        layers = pytest.importorskip("timm.layers")
        self.stem = layers.create_conv2d(3, 8, kernel, stride=stride, padding="same")
        self.inner = layers.create_conv2d(8, 8, kernel, stride=1, padding="same")
        self.outer = nn.Conv2d(8, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.outer(self.inner(x).relu())
        return self.last(x.mean((2, 3)))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 3)])
def test_padding_as_tensorflow_has_it(kernel: int, stride: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    agrees(Same(kernel, stride), IMAGES, tmp_path, sg.JointGating(initial_open_rate=0.5))


def after_a_pool(last: nn.Module) -> nn.Module:
    block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(block, last, nn.Flatten()).eval()


@pytest.mark.parametrize(
    "last",
    [
        nn.Conv2d(12, 5, 1),
        nn.Sequential(nn.Conv2d(12, 16, 1), nn.Hardswish(), nn.Conv2d(16, 5, 1)),
        nn.Sequential(nn.BatchNorm2d(12), nn.Conv2d(12, 5, 1, groups=1)),
        nn.Sequential(nn.Conv2d(12, 5, 3, padding=1)),
    ],
    ids=["a classifier", "two layers", "a norm", "a kernel of 3 that sees one pixel"],
)
def test_convolutions_behind_a_global_pool(last: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    agrees(after_a_pool(last), IMAGES, tmp_path, sg.ChannelGating("all", initial_open_rate=0.5))


@pytest.mark.parametrize("scaled", [True, False])
def test_layers_of_channels_last_blocks_have_gates(scaled: bool, tmp_path: Path) -> None:
    """ConvNeXt's blocks are residual branches."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    block = torchvision.models.convnext.CNBlock(8, layer_scale=1.0 if scaled else 1e-6, stochastic_depth_prob=0.0)
    net = nn.Sequential(nn.Conv2d(3, 8, 2, 2), block, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    gated = sg.gate_model(net, sg.LayerGating(initial_open_rate=0.5), IMAGES[:1]).eval()
    assert [site.kind for site in gated.sites.values()] == ["layer"]
    file_agrees(gated, IMAGES, tmp_path)
