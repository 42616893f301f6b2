"""Channels become pixels: r^2 channels of one pixel are r x r pixels of one channel."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.links import Link, Spread
from sluicegate.ops.frame.room import Call, Room, Written


def _function(node: fx.Node, input: fx.Node, upscale_factor: int) -> Call | None:
    return Call("pixel_shuffle", (input,), {"factor": upscale_factor}) if is_plane(input) else None


def _module(node: fx.Node, module: nn.PixelShuffle, input: fx.Node) -> Call | None:
    return _function(node, input, module.upscale_factor)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs, outputs = channel_count(call.inputs[0]), channel_count(node)
    return (Spread(np.arange(inputs) // (inputs // outputs), outputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "pixel_shuffle", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module:
    return nn.PixelShuffle(op.has["factor"])


ROOM = Room(
    "pixel_shuffle",
    functions=dict.fromkeys((F.pixel_shuffle, torch.pixel_shuffle), _function),
    modules={nn.PixelShuffle: _module},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
