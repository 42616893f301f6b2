"""Small random networks of every block kind that channel and layer gates know, for property tests."""

import random
from collections.abc import Sequence

import torch
from random_blocks import BLOCKS, Block, Residual, conv_bn
from torch import Tensor, nn


def random_residual_net(seed: int, blocks: int | None = None) -> nn.Module:
    """Stem, so many or 1 to 4 random residual blocks, pooled classifier; batch norms have random statistics."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    channels = 4 * rng.randint(1, 4)
    layers: list[nn.Module] = [_conv(3, channels, 3, 1), nn.BatchNorm2d(channels), nn.ReLU()]
    if rng.random() < 0.5:
        layers.append(nn.MaxPool2d(2))
    for _ in range(blocks or rng.randint(1, 4)):
        out = channels if rng.random() < 0.5 else 4 * rng.randint(1, 4)
        stride = rng.choice((1, 1, 2))
        layers.append(_block(rng, channels, out, stride))
        channels = out
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))
    return randomise_norms(net)


def random_chain(seed: int) -> nn.Module:
    """A plain chain of 2 to 5 convolutions, without any residual branch."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    channels = 3
    layers: list[nn.Module] = []
    for _ in range(rng.randint(2, 5)):
        out = 4 * rng.randint(1, 4)
        layers += [_conv(channels, out, rng.choice((1, 3)), 1), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))
    return randomise_norms(net)


class RandomNet(nn.Module):
    """A stem, some blocks of public networks, and one of several ends: logits [N, 5]."""

    def __init__(self, seed: int, first: Sequence[Block] = BLOCKS) -> None:
        super().__init__()
        rng = random.Random(seed)
        torch.manual_seed(seed)
        channels = 4 * rng.randint(1, 3)
        layers: list[nn.Module] = [conv_bn(rng, 3, channels)]
        for kinds in (first, *[BLOCKS] * rng.randint(0, 2)):
            layers.append(rng.choice(kinds)(rng, channels))
        self.trunk = nn.Sequential(*layers)
        self.pool = rng.choice((nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d((3, 2))))
        out = channels * (6 if self.pool.output_size == (3, 2) else 1)
        ends = (nn.Linear(out, 5), nn.Sequential(nn.Linear(out, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 5)))
        self.end = rng.choice(ends)
        self.last = conv_bn(rng, channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.pool(self.last(self.trunk(x))).flatten(1))


def random_net(seed: int, first: Sequence[Block] = BLOCKS) -> nn.Module:
    """A network of one to three blocks, the first of which is one of these."""
    return randomise_norms(RandomNet(seed, first))


def randomise_norms(net: nn.Module) -> nn.Module:
    """Give every norm statistics, scales and shifts that are not trivial."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
        if (
            isinstance(norm, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d))
            and norm.weight is not None
        ):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.5)
    return net.eval()


def _block(rng: random.Random, channels: int, out: int, stride: int) -> nn.Module:
    width = 4 * rng.randint(1, 5)
    body = {
        "basic": [(channels, width, 3, stride, 1), (width, out, 3, 1, 1)],
        "bottleneck": [(channels, width, 1, 1, 1), (width, width, 3, stride, 1), (width, out, 1, 1, 1)],
        "grouped": [(channels, width, 1, 1, 1), (width, width, 3, stride, 4), (width, out, 1, 1, 1)],
        "inverted": [(channels, width, 1, 1, 1), (width, width, 3, stride, width), (width, out, 1, 1, 1)],
    }[rng.choice(("basic", "bottleneck", "grouped", "inverted"))]
    layers: list[nn.Module] = []
    for i, (inputs, outputs, kernel, step, groups) in enumerate(body):
        layers += [_conv(inputs, outputs, kernel, step, groups), nn.BatchNorm2d(outputs)]
        if i < len(body) - 1:
            layers.append(rng.choice((nn.ReLU, nn.ReLU6, nn.SiLU))())
    plain = stride == 1 and channels == out
    shortcut = nn.Identity() if plain else nn.Sequential(_conv(channels, out, 1, stride), nn.BatchNorm2d(out))
    return Residual(nn.Sequential(*layers), shortcut)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
