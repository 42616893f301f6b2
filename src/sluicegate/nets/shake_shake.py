"""Shake-Shake networks for small images, which torchvision and timm lack.

Gastaldi, "Shake-Shake regularization", 2017 (arXiv:1705.07485), sections 1.1 and 2.1. A block has two branches, which
training mixes at random, image by image:

    x + a f(x) + (1 - a) g(x)        a ~ U(0, 1) for each image, drawn anew; 1/2 in evaluation

The gradient sees another draw b in a's place. With these draws the paper's name of a network is "Shake-Shake-Image".
A branch is ReLU, 3x3 convolution, batch norm, twice. Where the shape changes, the shortcut reads ReLU(x) at every
`stride`-th pixel, and once more one pixel further down and right; each goes through a 1x1 convolution to half of the
channels, and a batch norm follows their concatenation. A network of depth 26 and width d, "26 2xd", has three stages of
four blocks with d, 2d and 4d filters behind a convolution of 16; in GaterNet's of d (docs/gaternet.md).

Shapes: N images, C channels, H x W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluicegate.errors import InputError
from sluicegate.nets.parts import check_count, conv1x1, conv3x3, initialise
from sluicegate.noise import draw_uniform

STAGES = 3


class ShakeShake(nn.Module):
    """The sum of two values; in training each image has 2a of one and 2 (1 - a) of the other, a ~ U(0, 1).

    The gradient is that of another draw b in a's place. Both factors are 1 on average and in evaluation. Maps two
    [N, C, H, W] to one.
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        if not self.training:
            return first + second
        like = first[:, :1, :1, :1].detach()  # [N, 1, 1, 1]
        forward, backward = 2 * draw_uniform(like), 2 * draw_uniform(like)
        return _scaled(first, forward, backward) + _scaled(second, 2 - forward, 2 - backward)


def _scaled(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """x times one factor, with the gradient of another."""
    return x * backward + (x * (forward - backward)).detach()


class ShakeBranch(nn.Module):
    """Half of bn2(conv2(relu2(bn1(conv1(relu1(x)))))), so that the mean of two branches is their sum."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.relu1 = nn.ReLU()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.relu1(x)))
        return 0.5 * self.bn2(self.conv2(self.relu2(x)))


class ShiftedShortcut(nn.Module):
    """Two 1x1 convolutions, the second of which sees the image one pixel further down and right; then a norm."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.relu = nn.ReLU()
        self.conv1 = conv1x1(in_channels, channels // 2)
        self.conv2 = conv1x1(in_channels, channels - channels // 2)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        shifted = F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        first = self.conv1(x[:, :, :: self.stride, :: self.stride])
        second = self.conv2(shifted[:, :, :: self.stride, :: self.stride])
        return self.bn(torch.cat([first, second], 1))


class ShakeBlock(nn.Module):
    """shortcut(x) + shake(branch1(x), branch2(x))."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        same = in_channels == channels and stride == 1
        self.branch1 = ShakeBranch(in_channels, channels, stride)
        self.branch2 = ShakeBranch(in_channels, channels, stride)
        self.shortcut = nn.Identity() if same else ShiftedShortcut(in_channels, channels, stride)
        self.shake = ShakeShake()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.shake(self.branch1(x), self.branch2(x))


class ShakeShakeNet(nn.Module):
    """A Shake-Shake network "depth 2xwidth"; [N, in_channels, H, W] to logits [N, classes].

    Args:
        depth: 6n + 2, from 8 on; the paper's is 26.
        width: filters of the first stage; 32, 64 and 96 in the paper.
        classes: number of logits.
        in_channels: 3 for colour, 1 for grey images.
        stem: filters of the first convolution.

    Raises:
        InputError: an argument is outside of what is said above.

    Example:
        >>> net = shake_shake(26, width=96)
        >>> net(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self, depth: int = 26, width: int = 64, classes: int = 10, in_channels: int = 3, stem: int = 16
    ) -> None:
        super().__init__()
        blocks = _blocks_per_stage(depth)
        counts = {"width": width, "classes": classes, "in_channels": in_channels, "stem": stem}
        for argument, value in counts.items():
            check_count(argument, value)
        self.conv1 = conv3x3(in_channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, width, blocks, 1)
        self.layer2 = _stage(width, 2 * width, blocks, 2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(4 * width, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)))))
        x = torch.flatten(self.avgpool(self.relu(x)), 1)  # [N, C]
        return self.linear(x)  # [N, classes]


def shake_shake(
    depth: int = 26, width: int = 64, classes: int = 10, in_channels: int = 3, stem: int = 16
) -> ShakeShakeNet:
    """A `ShakeShakeNet`, whose docstring says what the arguments mean."""
    return ShakeShakeNet(depth, width, classes, in_channels, stem)


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = ShakeBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(ShakeBlock(channels, channels, 1) for _ in range(blocks - 1)))


def _blocks_per_stage(depth: int) -> int:
    if not isinstance(depth, int) or depth < 8 or (depth - 2) % (2 * STAGES):
        raise InputError(f"depth: {depth!r} must be 6n + 2, from 8 on")
    return (depth - 2) // (2 * STAGES)
