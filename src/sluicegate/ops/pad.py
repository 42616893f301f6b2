"""More pixels around a plane: a constant, its reflection, its edge, or its other side.

More channels of zeros are `subsample`.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.lifting import Function
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Written, Zeros, kind_of

LOWEST = -3e38
"""What a program pads with for a max pool instead of minus infinity, which it cannot name."""


def _function(
    node: fx.Node, input: fx.Node, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Call | None:
    sides = [*pad, *(0,) * (4 - len(pad))]
    if (
        is_plane(input)
        and len(sides) == 6
        and not any(sides[:4])
        and min(sides) >= 0
        and mode == "constant"
        and not value
    ):
        return Call("subsample", (input,), {"stride": 1, "before": sides[4], "after": sides[5]})
    if not is_plane(input) or any(sides[4:]) or min(sides) < 0:
        return None
    if not any(sides):
        return Call("identity", (input,))
    named = dict(zip(("left", "right", "top", "bottom"), sides, strict=False))
    return Call("pad", (input,), named | {"mode": mode, "fill": float(value or 0)})


def _module(mode: str, node: fx.Node, module: Any, input: fx.Node) -> Call | None:
    return _function(node, input, module.padding, mode, getattr(module, "value", None))


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if call.attributes["fill"] else "each"


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    has = call.attributes
    if has["fill"] == -math.inf and all(kind_of(user) == "max_pool" for user in node.users):
        has = {**has, "fill": LOWEST}
    lowering.emit(node, "pad", call.inputs, has, planes=True)


def _lift(op: Written) -> nn.Module:
    edges = [op.has[side] for side in ("left", "right", "top", "bottom")]
    return Function(F.pad, edges, op.has["mode"], *([op.has["fill"]] if op.has["mode"] == "constant" else []))


ROOM = Room(
    "pad",
    functions={F.pad: _function, torch._C._nn.pad: _function},  # pyright: ignore[reportAttributeAccessIssue]
    modules={
        **dict.fromkeys((nn.ZeroPad2d, nn.ConstantPad2d), partial(_module, "constant")),
        nn.ReflectionPad2d: partial(_module, "reflect"),
        nn.ReplicationPad2d: partial(_module, "replicate"),
        nn.CircularPad2d: partial(_module, "circular"),
    },
    links=_links,
    zeros=_zeros,
    lower=_lower,
    lift=_lift,
)
