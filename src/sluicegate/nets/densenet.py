"""DenseNet-BC for small images, which torchvision and timm lack (their DenseNets begin with a stride of 4).

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, section 3. A dense layer adds k channels to all
that were there before:

    x <- [x, conv2(relu(bn2(conv1(relu(bn1(x))))))]        conv1: 1x1 to 4k channels, conv2: 3x3 to k channels

Three blocks of (L - 4) / 6 such layers; behind the first and the second a transition: norm, ReLU, a 1x1 convolution to
half of the channels, an average of 2x2 pixels. The first convolution has 2k filters.

Shapes: N images, C channels, H x W pixels.
"""

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.nets.parts import check_count, conv1x1, conv3x3, initialise

BLOCKS = 3
BOTTLENECK = 4
"""Filters of a dense layer's first convolution, in multiples of k."""


class DenseLayer(nn.Module):
    """[N, C, H, W] to [N, C + growth, H, W]: what was there, and k channels more."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        narrow = BOTTLENECK * growth
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv1x1(in_channels, narrow)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(narrow, growth)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(self.relu1(self.bn1(x)))
        new = self.conv2(self.relu2(self.bn2(new)))
        return torch.cat([x, new], 1)


class Transition(nn.Module):
    """[N, C, H, W] to [N, C // 2, H // 2, W // 2]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = conv1x1(in_channels, in_channels // 2)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(self.relu(self.bn(x))))


class DenseNetBC(nn.Module):
    """DenseNet-BC of a given depth; [N, in_channels, H, W] to logits [N, classes].

    Args:
        depth: L = 6n + 4, from 10 on; 100, 190 and 250 are the paper's.
        growth: k, the channels that a dense layer adds; 12, 40 and 24 in the paper.
        classes: number of logits.
        in_channels: 3 for colour, 1 for grey images.

    Raises:
        InputError: an argument is outside of what is said above.

    Example:
        >>> net = densenet_bc(100, growth=12)
        >>> net(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    def __init__(self, depth: int = 100, growth: int = 12, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        layers = _layers_per_block(depth)
        for argument, value in (("growth", growth), ("classes", classes), ("in_channels", in_channels)):
            check_count(argument, value)
        channels = 2 * growth
        self.conv1 = conv3x3(in_channels, channels)
        self.block1, channels = _block(channels, layers, growth)
        self.transition1 = Transition(channels)
        self.block2, channels = _block(channels // 2, layers, growth)
        self.transition2 = Transition(channels)
        self.block3, channels = _block(channels // 2, layers, growth)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transition1(self.block1(self.conv1(x)))
        x = self.block3(self.transition2(self.block2(x)))
        x = torch.flatten(self.avgpool(self.relu(self.bn(x))), 1)  # [N, C]
        return self.linear(x)  # [N, classes]


def densenet_bc(depth: int = 100, growth: int = 12, classes: int = 10, in_channels: int = 3) -> DenseNetBC:
    """A `DenseNetBC`, whose docstring says what the arguments mean."""
    return DenseNetBC(depth, growth, classes, in_channels)


def _block(channels: int, layers: int, growth: int) -> tuple[nn.Sequential, int]:
    """The dense layers of a block, and the channels behind them."""
    block = nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(layers)))
    return block, channels + layers * growth


def _layers_per_block(depth: int) -> int:
    if not isinstance(depth, int) or depth < 10 or (depth - 4) % (2 * BLOCKS):
        raise InputError(f"depth: {depth!r} must be 6n + 4, from 10 on")
    return (depth - 4) // (2 * BLOCKS)
