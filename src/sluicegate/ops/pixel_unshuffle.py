"""Pixels become channels: r x r pixels of one channel are r^2 channels of one pixel."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written


def _function(node: fx.Node, input: fx.Node, downscale_factor: int) -> Call | None:
    return Call("pixel_unshuffle", (input,), {"factor": downscale_factor}) if is_plane(input) else None


def _module(node: fx.Node, module: nn.PixelUnshuffle, input: fx.Node) -> Call | None:
    return _function(node, input, module.downscale_factor)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs, outputs = channel_count(call.inputs[0]), channel_count(node)
    return (Sources(np.arange(outputs) // (outputs // inputs), inputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "pixel_unshuffle", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module:
    return nn.PixelUnshuffle(op.has["factor"])


ROOM = Room(
    "pixel_unshuffle",
    functions=dict.fromkeys((F.pixel_unshuffle, torch.pixel_unshuffle), _function),
    modules={nn.PixelUnshuffle: _module},
    links=_links,
    zeros="each",
    lower=_lower,
    lift=_lift,
)
