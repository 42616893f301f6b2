"""Residual networks for small images, which torchvision and timm lack.

`CifarResNet` is the network of He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2: a
3x3 convolution, three stages of n basic blocks with 16, 32 and 64 filters, global average pooling and one
linear layer. With two convolutions a block, its depth is 6n + 2.

`PreactResNet` is the bottleneck network of He et al. 2016, "Identity Mappings in Deep Residual Networks",
whose ResNet-164 is the known one: the same plan with three convolutions a block, so its depth is 9n + 2, and
batch norm and ReLU before every convolution.

Every ReLU is a module of its own and is called once, so that a traced graph names each of them.

Shapes: N images, C channels, H x W pixels.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluicegate.errors import InputError
from sluicegate.nets.parts import SqueezeExcitation, check_count, conv1x1, conv3x3, initialise

Shortcut = Literal["A", "B"]

STAGE_WIDTHS = (16, 32, 64)
BOTTLENECK_EXPANSION = 4
MAX_DEPTH = 1202


class SubsampleAndPad(nn.Module):
    """Shortcut "A": every second pixel, and zeros for the channels that are new. It has no parameters.

    Maps [N, C, H, W] to [N, C + before + after, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """relu2(se(bn2(conv2(relu1(bn1(conv1(x)))))) + shortcut(x)), as a rule without se."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, shortcut: Shortcut, squeeze: int | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = None if squeeze is None else SqueezeExcitation(channels, squeeze)
        self.shortcut = _basic_shortcut(in_channels, channels, stride, shortcut)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        branch = branch if self.se is None else self.se(branch)
        return self.relu2(branch + self.shortcut(x))


class CifarResNet(nn.Module):
    """The CIFAR ResNet of a given depth; [N, in_channels, H, W] to logits [N, classes].

    Args:
        depth: 6n + 2, from 8 to 1202.
        classes: number of logits.
        width: multiplies the 16, 32 and 64 filters of the stages; 16 * width must be whole.
        shortcut: "A" subsamples and pads with zeros, "B" is a 1x1 convolution with batch norm.
        in_channels: 3 for colour, 1 for grey images.
        squeeze: r of a squeeze-and-excitation at the end of every branch (`SqueezeExcitation`); None for none.

    Raises:
        InputError: an argument is outside of what is said above.
    """

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        width: float = 1,
        shortcut: Shortcut = "A",
        in_channels: int = 3,
        squeeze: int | None = None,
    ) -> None:
        super().__init__()
        blocks = _blocks_per_stage(depth, layers_per_block=2)
        stem, *stages = _stage_widths(width)
        check_count("classes", classes)
        check_count("in_channels", in_channels)
        if shortcut not in ("A", "B"):
            raise InputError(f"shortcut: {shortcut!r} must be 'A' or 'B'")
        self.conv1 = conv3x3(in_channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = _basic_stage(stem, stages[0], blocks, 1, shortcut, squeeze)
        self.layer2 = _basic_stage(stages[0], stages[1], blocks, 2, shortcut, squeeze)
        self.layer3 = _basic_stage(stages[1], stages[2], blocks, 2, shortcut, squeeze)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(stages[2], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = torch.flatten(self.avgpool(x), 1)  # [N, C]
        return self.linear(x)  # [N, classes]


class PreactBottleneck(nn.Module):
    """A bottleneck whose batch norms and ReLUs stand before the convolutions.

    Where the shape changes, the shortcut is a 1x1 convolution that reads the first ReLU's output, and
    elsewhere it is x itself. The stride is the first convolution's, as in the authors' code.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, squeeze: int | None = None) -> None:
        super().__init__()
        narrow = channels // BOTTLENECK_EXPANSION
        self.projects = in_channels != channels or stride != 1
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv1x1(in_channels, narrow, stride)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(narrow, narrow)
        self.bn3 = nn.BatchNorm2d(narrow)
        self.relu3 = nn.ReLU()
        self.conv3 = conv1x1(narrow, channels)
        self.se = None if squeeze is None else SqueezeExcitation(channels, squeeze)
        self.shortcut = conv1x1(in_channels, channels, stride) if self.projects else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu1(self.bn1(x))
        branch = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        branch = self.conv3(self.relu3(self.bn3(branch)))
        branch = branch if self.se is None else self.se(branch)
        return branch + self.shortcut(active if self.projects else x)


class PreactResNet(nn.Module):
    """The pre-activation bottleneck ResNet of a given depth; [N, in_channels, H, W] to logits [N, classes].

    Args:
        depth: 9n + 2, from 11 to 1202; 164 and 1001 are the paper's.
        classes: number of logits.
        width: multiplies the filters of every stage; 16 * width must be whole.
        in_channels: 3 for colour, 1 for grey images.
        thin: a first stage of 16, 4 and 16 filters a unit, as in GaterNet's ResNet-164 (its footnote 2).
        squeeze: r of a squeeze-and-excitation at the end of every branch (`SqueezeExcitation`); None for none.

    Raises:
        InputError: an argument is outside of what is said above.
    """

    def __init__(
        self,
        depth: int = 164,
        classes: int = 10,
        width: float = 1,
        in_channels: int = 3,
        thin: bool = False,
        squeeze: int | None = None,
    ) -> None:
        super().__init__()
        blocks = _blocks_per_stage(depth, layers_per_block=3)
        stem, *narrow = _stage_widths(width)
        stages = [channels * BOTTLENECK_EXPANSION for channels in narrow]
        stages[0] = stem if thin else stages[0]
        check_count("classes", classes)
        check_count("in_channels", in_channels)
        self.conv1 = conv3x3(in_channels, stem)
        self.layer1 = _preact_stage(stem, stages[0], blocks, 1, squeeze)
        self.layer2 = _preact_stage(stages[0], stages[1], blocks, 2, squeeze)
        self.layer3 = _preact_stage(stages[1], stages[2], blocks, 2, squeeze)
        self.bn = nn.BatchNorm2d(stages[2])
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(stages[2], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = torch.flatten(self.avgpool(self.relu(self.bn(x))), 1)  # [N, C]
        return self.linear(x)  # [N, classes]


def cifar_resnet(
    depth: int,
    classes: int = 10,
    width: float = 1,
    shortcut: Shortcut = "A",
    in_channels: int = 3,
    squeeze: int | None = None,
) -> CifarResNet:
    """A `CifarResNet`, whose docstring says what the arguments mean."""
    return CifarResNet(depth, classes, width, shortcut, in_channels, squeeze)


def preact_resnet(
    depth: int = 164,
    classes: int = 10,
    width: float = 1,
    in_channels: int = 3,
    thin: bool = False,
    squeeze: int | None = None,
) -> PreactResNet:
    """A `PreactResNet`, whose docstring says what the arguments mean."""
    return PreactResNet(depth, classes, width, in_channels, thin, squeeze)


def common_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `CifarResNet` under its own names, whatever published code named them.

    Most name tensors as we do; some call the last layer `fc` and a convolutional shortcut `downsample`.
    """
    return {name.replace(".downsample.", ".shortcut.").replace("fc.", "linear."): t for name, t in state.items()}


def _basic_shortcut(in_channels: int, channels: int, stride: int, shortcut: Shortcut) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if shortcut == "A":
        return SubsampleAndPad(in_channels, channels, stride)
    return nn.Sequential(conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels))


def _basic_stage(
    in_channels: int, channels: int, blocks: int, stride: int, shortcut: Shortcut, squeeze: int | None
) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut, squeeze)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut, squeeze) for _ in range(blocks - 1)))


def _preact_stage(in_channels: int, channels: int, blocks: int, stride: int, squeeze: int | None) -> nn.Sequential:
    first = PreactBottleneck(in_channels, channels, stride, squeeze)
    return nn.Sequential(first, *(PreactBottleneck(channels, channels, 1, squeeze) for _ in range(blocks - 1)))


def _blocks_per_stage(depth: int, layers_per_block: int) -> int:
    step = 3 * layers_per_block
    if not step + 2 <= depth <= MAX_DEPTH or (depth - 2) % step:
        raise InputError(f"depth: {depth} must be {step}n + 2, from {step + 2} to {MAX_DEPTH}")
    return (depth - 2) // step


def _stage_widths(width: float) -> list[int]:
    """The filters of the first convolution and of the three stages."""
    if not isinstance(width, (int, float)) or width <= 0 or STAGE_WIDTHS[0] * width % 1:
        raise InputError(f"width: {width!r} must be positive, and {STAGE_WIDTHS[0]} times it a whole number")
    widths = [int(channels * width) for channels in STAGE_WIDTHS]
    return [widths[0], *widths]
