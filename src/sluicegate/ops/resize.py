"""Another number of pixels, by the nearest ones or by a line between neighbours.

torch goes by the scale that it is given, even where it cuts off part of a pixel; the program goes by the ratio of the
sides. A resize where these differ is not read.
"""

import math
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Written


def _function(
    node: fx.Node,
    input: fx.Node,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Call | None:
    if not is_plane(input) or mode not in ("nearest", "bilinear") or antialias:
        return None
    by_scale = scale_factor is not None and not align_corners and not recompute_scale_factor
    if by_scale and not _fits(node, input, scale_factor):
        return None
    return Call("resize", (input,), {"size": shape(node)[2:], "mode": mode, "align_corners": bool(align_corners)})


def _fits(node: fx.Node, x: fx.Node, scale_factor: Any) -> bool:
    scales = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    sides = zip(shape(x)[2:], shape(node)[2:], scales, strict=True)
    return all(math.isclose(side * scale, scaled) for side, scaled, scale in sides)


def _module(node: fx.Node, module: nn.Upsample, input: fx.Node) -> Call | None:
    more = (module.align_corners, module.recompute_scale_factor)
    return _function(node, input, module.size, module.scale_factor, module.mode, *more)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "resize", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module:
    align = op.has["align_corners"] if op.has["mode"] == "bilinear" else None
    return nn.Upsample(op.has["size"], mode=op.has["mode"], align_corners=align)


ROOM = Room(
    "resize",
    functions={F.interpolate: _function},
    modules=dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _module),
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
