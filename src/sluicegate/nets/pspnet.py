"""The pyramid scene parsing network, PSPNet: a class for each pixel.

    x    = stages of a ResNet, the last ones dilated in place of strided, so that x keeps 1/8 of the image's sides
    y    = [x, up(conv(pool_b(x))) for b in bins]        pool_b: averages of b x b areas; up: to the size of x
    output = up(conv(dropout(conv(y))))                  up: to the size of the image

In training an auxiliary head reads the last stage but one (`PSPNet.auxiliary_head`).

Source: Zhao et al. 2017, "Pyramid Scene Parsing Network", sections 3.2, 3.3 and 4; dilations 2 and 4 in stages 3 and 4
as in the authors' code. Here `up` is bilinear without aligned corners, and the stem is the backbone's own, where the
authors have three 3x3 convolutions.

Legend: N images, K classes, C channels, H W pixels of the image, h w of x.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluicegate.errors import InputError

STAGES = ("layer1", "layer2", "layer3", "layer4")
DILATIONS = {8: {"layer3": 2, "layer4": 4}, 16: {"layer4": 2}, 32: {}}
"""Output stride -> how far apart the pixels are that a stage's convolutions look at; 1 in other stages."""

BINS = (1, 2, 3, 6)
DROPOUT = 0.1
_TRIED = 64  # pixels a side


class Pyramid(nn.Module):
    """x beside averages of its areas; [N, C, h, w] to [N, C + len(bins) (C // len(bins)), h, w]."""

    def __init__(self, channels: int, bins: Sequence[int] = BINS) -> None:
        super().__init__()
        narrow = channels // len(bins)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), *_convolution(channels, narrow, 1)) for side in bins
        )
        self.channels = channels + len(bins) * narrow

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, *(_resized(level(x), x) for level in self.levels)], dim=1)


class PSPNet(nn.Module):
    """A PSPNet over a ResNet of torchvision or timm; [N, 3, H, W] to scores [N, K, H, W].

    Args:
        backbone: a ResNet whose children are a stem, `layer1` to `layer4`, and what classifies, which is left out.
        classes: K.
        output_stride: 8 as in the paper, 16 or 32: sides of the image over those of the last map.
        width: channels of the last convolution but one; a quarter of the backbone's if None, as in the paper.

    Attributes:
        backbone: stem and stages, under their own names.
        channels: C of what each of these gives.
        backbone_name: what `build_net` calls the backbone.
        with_features: return (scores, output of the last stage but one), for an auxiliary head to read.

    Raises:
        InputError: the backbone is no such network, or an argument is outside of what is said above.

    Example:
        >>> net = build_net("pspnet", backbone="torchvision:resnet50", classes=19)
        >>> net(torch.zeros(1, 3, 256, 512)).shape  # [1, 19, 256, 512]
    """

    def __init__(self, backbone: nn.Module, classes: int, output_stride: int = 8, width: int | None = None) -> None:
        super().__init__()
        if output_stride not in DILATIONS:
            raise InputError(f"output_stride: {output_stride} must be one of {', '.join(map(str, DILATIONS))}")
        if classes < 1 or (width is not None and width < 1):
            raise InputError(f"classes, width: {classes}, {width} must be 1 or more")
        self.backbone = nn.Sequential(_stages(backbone))
        for stage, dilation in DILATIONS[output_stride].items():
            _dilate(self.backbone.get_submodule(stage), dilation)
        self.channels = _channels(self.backbone)
        self.pyramid = Pyramid(self.channels["layer4"])
        self.head = _classifier(self.pyramid.channels, width or self.channels["layer4"] // 4, classes)
        self.classes, self.backbone_name, self.with_features = classes, "", False

    def forward(self, images: Tensor) -> Any:
        x = features = images
        for name, stage in self.backbone.named_children():
            x = stage(x)
            features = x if name == "layer3" else features
        scores = _resized(self.head(self.pyramid(x)), images)
        return (scores, features) if self.with_features else scores

    def auxiliary_head(self) -> nn.Module:
        """A new head that training adds on top of the last stage but one; [N, C, h, w] to scores [N, K, h, w]."""
        channels = self.channels["layer3"]
        return _classifier(channels, channels // 4, self.classes)


def backbone_weights(state: Mapping[str, Tensor], net: PSPNet) -> dict[str, Tensor]:
    """Weights of a whole PSPNet: as they are, or a classifier's in place of those of the backbone, the heads' as in
    `net`."""
    if any(name.startswith("backbone.") for name in state):
        return dict(state)
    stages = set(dict(net.backbone.named_children()))
    own = {f"backbone.{name}": tensor for name, tensor in state.items() if name.partition(".")[0] in stages}
    heads = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("backbone.")}
    return {**heads, **own}


def _stages(backbone: nn.Module) -> OrderedDict[str, nn.Module]:
    """What a ResNet computes up to its last stage."""
    children = dict(backbone.named_children())
    if missing := [stage for stage in STAGES if stage not in children]:
        raise InputError(f"backbone: {type(backbone).__name__} has no {missing[0]!r}; a ResNet is needed")
    names = list(children)
    return OrderedDict((name, children[name]) for name in names[: names.index(STAGES[-1]) + 1])


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Keep every pixel, and look `dilation` pixels apart instead."""
    for name, module in stage.named_modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if max(module.kernel_size) > 1:
                rows, columns = (dilation * (side - 1) // 2 for side in module.kernel_size)
                module.dilation, module.padding = (dilation, dilation), (rows, columns)
        elif isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
            raise InputError(f"backbone: {name!r} is a pool, which cannot be dilated; choose a ResNet without")


@torch.no_grad()
def _channels(backbone: nn.Sequential) -> dict[str, int]:
    """C of what each stage gives, found by a small image."""
    was_training = backbone.training
    backbone.eval()
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    x, found = torch.zeros(1, first.in_channels, _TRIED, _TRIED), {}
    for name, stage in backbone.named_children():
        x = stage(x)
        found[name] = x.shape[1]
    backbone.train(was_training)
    return found


def _classifier(channels: int, width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(channels, width, 3), nn.Dropout2d(DROPOUT), nn.Conv2d(width, classes, 1))


def _convolution(channels: int, width: int, side: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, side, padding=side // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
