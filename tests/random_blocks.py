"""Blocks of public networks, small and with random sizes, for property tests.

Legend: N images, C channels, H W pixels. Each block takes [N, C, H, W] and keeps H and W.
"""

import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Hardswish,
    nn.GELU,
    nn.Mish,
    nn.Tanh,
    lambda: nn.LeakyReLU(0.1),
    lambda: nn.ELU(0.5),
    lambda: nn.PReLU(init=0.3),
)
"""All keep zero; a sigmoid or a softplus would let no gate pass."""
FACTORS: tuple[Callable[[], nn.Module], ...] = (nn.Sigmoid, nn.Hardsigmoid)


def conv_bn(rng: random.Random, inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, some activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), rng.choice(ACTIVATIONS)())


class Residual(nn.Module):
    """act(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


class Branches(nn.Module):
    """x + f(x) + g(x), in some order."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.f = nn.Sequential(conv_bn(rng, channels, width), nn.Conv2d(width, channels, 1))
        self.g = nn.Sequential(conv_bn(rng, channels, width, 1), nn.Conv2d(width, channels, 3, padding=1))
        self.first = rng.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x) + self.g(x) if self.first else self.f(x) + (self.g(x) + x)


class Nested(nn.Module):
    """x + f(x + g(x))."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.g = nn.Sequential(conv_bn(rng, channels, width, 1), nn.Conv2d(width, channels, 1))
        self.f = nn.Sequential(conv_bn(rng, channels, width), nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x + self.g(x))


class PreActivation(nn.Module):
    """x + conv(act(norm(conv(act(norm(x))))))."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(width)])
        self.convs = nn.ModuleList([nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        inner = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            inner = conv(F.relu(norm(inner)))
        return x + inner


class SqueezeExcite(nn.Module):
    """x times what two small layers say of its means; convolutions or linear layers."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        inner = rng.randint(2, 5)
        self.flat = rng.random() < 0.5
        layer = nn.Linear if self.flat else lambda a, b: nn.Conv2d(a, b, 1)
        self.fc1, self.fc2, self.gate = layer(channels, inner), layer(inner, channels), rng.choice(FACTORS)()

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=not self.flat)
        factor = self.gate(self.fc2(F.relu(self.fc1(mean))))
        return x * (factor[:, :, None, None] if self.flat else factor)


class InvertedExcite(nn.Module):
    """EfficientNet's: expand, depthwise, squeeze and excite, project."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(2, 4)
        self.expand = conv_bn(rng, channels, width, 1)
        self.depthwise = conv_bn(rng, width, width, 3, width)
        self.excite = SqueezeExcite(rng, width)
        self.project = nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.excite(self.depthwise(self.expand(x))))


class Dense(nn.Module):
    """DenseNet's: each layer reads all before it."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        grown = [4 * rng.randint(1, 2) for _ in range(rng.randint(1, 3))]
        reads = [channels + sum(grown[:i]) for i in range(len(grown))]
        self.layers = nn.ModuleList(conv_bn(rng, r, g) for r, g in zip(reads, grown, strict=True))
        self.last = nn.Conv2d(channels + sum(grown), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        return self.last(torch.cat(found, 1))


class Inception(nn.Module):
    """Parallel paths and a pool, one behind the other."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        a, b = 4 * rng.randint(1, 2), 4 * rng.randint(1, 2)
        self.one = conv_bn(rng, channels, a, 1)
        self.three = nn.Sequential(conv_bn(rng, channels, b, 1), conv_bn(rng, b, a))
        self.pool = rng.choice((nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1, False, False)))
        self.pooled = conv_bn(rng, channels, b, 1)
        self.last = nn.Conv2d(2 * a + b, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.one(x), self.three(x), self.pooled(self.pool(x))], dim=1))


class Shuffled(nn.Module):
    """ShuffleNet v2's: half of the channels go through layers, then both halves are shuffled."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            conv_bn(rng, half, half, 1), nn.Conv2d(half, half, 3, padding=1, groups=half), conv_bn(rng, half, half, 1)
        )
        self.shuffle = nn.ChannelShuffle(2) if rng.random() < 0.5 else None

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        joined = torch.cat((first, self.layers(second)), 1)
        if self.shuffle:
            return self.shuffle(joined)
        n, c, h, w = joined.shape
        return joined.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class CrossStage(nn.Module):
    """CSP's: a layer's channels in two parts, of which one goes through more layers."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        self.part, width = 4 * rng.randint(1, 2), 4 * rng.randint(1, 2)
        self.first = conv_bn(rng, channels, 2 * self.part, 1)
        self.inner = nn.Sequential(conv_bn(rng, self.part, width), conv_bn(rng, width, self.part, 1))
        self.last = conv_bn(rng, 2 * self.part, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, inner = torch.split(self.first(x), self.part, dim=1)
        return self.last(torch.cat((self.inner(inner), kept), dim=1))


class Scaled(nn.Module):
    """Res2Net's: parts of a bottleneck's middle, each added to the next one before it is convolved."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        self.part, self.scales = rng.choice((2, 4)), rng.randint(2, 4)
        width = self.part * self.scales
        self.first, self.last = conv_bn(rng, channels, width, 1), nn.Conv2d(width, channels, 1)
        self.convs = nn.ModuleList(conv_bn(rng, self.part, self.part) for _ in range(self.scales - 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.first(x).split(self.part, 1)
        made = [self.convs[0](parts[0])]
        for i in range(1, self.scales - 1):
            made.append(self.convs[i](made[-1] + parts[i]))
        return x + self.last(torch.cat([*made, parts[-1]], 1))


class Selective(nn.Module):
    """SKNet's: two paths, weighed against each other channel by channel."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 3)
        self.first = conv_bn(rng, channels, width, 1)
        self.paths = nn.ModuleList([conv_bn(rng, width, width), conv_bn(rng, width, width, 1)])
        self.squeeze, self.weigh = nn.Conv2d(width, 4, 1), nn.Conv2d(4, 2 * width, 1)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        both = torch.stack([path(first) for path in self.paths], dim=1)  # [N, 2, C, H, W]
        n, paths, c = both.shape[:3]
        weights = self.weigh(F.relu(self.squeeze(both.sum(dim=1).mean((2, 3), keepdim=True))))
        weights = torch.softmax(weights.view(n, paths, c, 1, 1), dim=1)
        return x + self.last((both * weights).sum(dim=1))


class GroupNormed(nn.Module):
    """Two convolutions with norms over groups of channels."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        groups = rng.choice((1, 2, 4))
        width = 4 * rng.randint(1, 3)
        self.convs = nn.ModuleList([nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 1)])
        self.norms = nn.ModuleList([nn.GroupNorm(groups, width), nn.GroupNorm(groups, channels)])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norms[1](self.convs[1](F.relu(self.norms[0](self.convs[0](x))))))


class InstanceNormed(nn.Module):
    """A convolution, each of whose channels is normed by itself, under a shortcut."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        norm = nn.InstanceNorm2d(width, affine=rng.random() < 0.5)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), norm, nn.ReLU(), nn.Conv2d(width, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ConvNext(nn.Module):
    """Depthwise convolution, then norm and two linear layers with channels last, a scale for each channel."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = rng.choice((nn.LayerNorm, nn.RMSNorm))(channels, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.act = rng.choice((nn.GELU, nn.ReLU))()
        self.gamma = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.gamma * self.fc2(self.act(self.fc1(inner)))
        return x + inner.permute(0, 3, 1, 2)


class Hourglass(nn.Module):
    """Down by a pool or a stride, up by a resize or a transposed convolution, beside a shortcut."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 3)
        self.down = conv_bn(rng, channels, width)
        self.pool = rng.choice((nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)))
        self.mode = rng.choice(("nearest", "bilinear", "transposed", "grouped"))
        ups = {"transposed": 1, "grouped": 2}
        self.up = nn.ConvTranspose2d(width, width, 2, 2, groups=ups[self.mode]) if self.mode in ups else None
        self.middle = conv_bn(rng, width, width, 1)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.middle(self.pool(self.down(x)))
        size = (x.shape[2], x.shape[3])
        inner = F.relu(self.up(inner)) if self.up else F.interpolate(inner, size=size, mode=self.mode)
        return x + self.last(inner)


class Unshuffled(nn.Module):
    """Pixels become channels, and back."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.before = conv_bn(rng, channels, width, 1)
        self.inner = conv_bn(rng, 4 * width, 4 * channels, 1)
        self.last = conv_bn(rng, channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.pixel_shuffle(self.inner(F.pixel_unshuffle(self.before(x), 2)), 2))


class SpatialAttention(nn.Module):
    """CBAM's: a factor for each pixel, of the mean and the largest of its channels."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        self.first, self.look = conv_bn(rng, channels, channels, 1), nn.Conv2d(2, 1, 3, padding=1)
        self.last = conv_bn(rng, channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(dim=1, keepdim=True)], 1)
        return self.last(x * torch.sigmoid(self.look(seen)))


class Padded(nn.Module):
    """A convolution that pads by what it sees, then one whose output is cropped."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.mode = rng.choice(("reflect", "replicate", "circular", "constant"))
        self.first = nn.Sequential(nn.Conv2d(channels, width, 3), nn.ReLU())
        self.last = nn.Conv2d(width, channels, 3, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(F.pad(x, (1, 1, 1, 1), mode=self.mode)))[:, :, 1:-1, 1:-1]


class Numbers(nn.Module):
    """Sums and products with numbers, a learned scale for each channel, one for all."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.first, self.last = conv_bn(rng, channels, width), nn.Conv2d(width, channels, 1)
        self.scale = nn.Parameter(torch.rand(1, width, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return (x + 0.5 * self.last(self.first(x) * self.scale / 2)) - 0.25


class Fire(nn.Module):
    """SqueezeNet's: squeeze, then expand by two convolutions."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 2)
        self.squeeze = conv_bn(rng, channels, width, 1)
        self.one, self.three = conv_bn(rng, width, channels // 2, 1), conv_bn(rng, width, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], 1)


class Grouped(nn.Module):
    """ResNeXt's: the middle convolution in groups."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 4)
        self.layers = nn.Sequential(
            *conv_bn(rng, channels, width, 1),
            *conv_bn(rng, width, width, 3, rng.choice((2, 4))),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class Chain(nn.Module):
    """VGG's: convolutions one after the other."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        width = 4 * rng.randint(1, 3)
        self.layers = nn.Sequential(conv_bn(rng, channels, width), conv_bn(rng, width, channels, rng.choice((1, 3))))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


Block = Callable[[random.Random, int], nn.Module]

RESIDUAL: Sequence[Block] = (
    Branches,
    Nested,
    PreActivation,
    InvertedExcite,
    Scaled,
    Selective,
    GroupNormed,
    InstanceNormed,
    ConvNext,
    Hourglass,
    Grouped,
)
"""With a layer gate's place, and channels inside."""
JOINED: Sequence[Block] = (Dense, Inception, CrossStage, Scaled)
"""With a concatenation that layers read."""
OTHERS: Sequence[Block] = (Shuffled, Unshuffled, SpatialAttention, Padded, Numbers, Fire, Chain)
BLOCKS: Sequence[Block] = (*RESIDUAL, *(block for block in JOINED if block is not Scaled), *OTHERS)
