"""The windows of torch's convolutions and pools as an op's attributes."""

import math

from torch import fx, nn

from sluicegate.errors import InputError
from sluicegate.graph import shape
from sluicegate_runtime.program import Attribute

Pair = tuple[int, int]


def conv_window(conv: nn.Conv2d) -> dict[str, Attribute]:
    """Those of a convolution.

    Raises:
        InputError: it pads by something else than zeros.
    """
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        raise InputError(f"net: a convolution pads by {conv.padding!r}, {conv.padding_mode}; the engine by zeros")
    return {
        "stride": _pair(conv.stride),
        "padding": _pair(conv.padding),
        "dilation": _pair(conv.dilation),
        "groups": conv.groups,
    }


def windows_fit(module: nn.AvgPool2d, node: fx.Node) -> bool:
    """Whether no window hangs over the end, so that rounding the number of windows up or down is the same."""
    sides = zip(shape(node.all_input_nodes[0])[2:], shape(node)[2:], *pool_window(module).values(), strict=True)
    return all((count - 1) * stride + kernel <= side + 2 * pad for side, count, kernel, stride, pad in sides)


def scales_fit(module: nn.Upsample, node: fx.Node) -> bool:
    """Whether a resize takes pixels where the ratio of its sides says, as the engine does; torch goes by the scale that
    it was given, even where it has cut off part of a pixel."""
    if module.align_corners or module.scale_factor is None or module.recompute_scale_factor:
        return True
    scales = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * 2
    sides = zip(shape(node.all_input_nodes[0])[2:], shape(node)[2:], scales, strict=True)
    return all(math.isclose(side * scale, scaled) for side, scaled, scale in sides)


def pool_window(module: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Pair]:
    """Those of a pool."""
    stride = module.kernel_size if module.stride is None else module.stride
    return {"kernel": _pair(module.kernel_size), "stride": _pair(stride), "padding": _pair(module.padding)}


def _pair(sides: int | tuple[int, ...] | str) -> Pair:
    return (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))
