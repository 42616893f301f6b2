"""Channels become pixels, and back: r^2 channels of one pixel are r x r pixels of one channel."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.ops.layout import channel_count, is_plane
from sluicegate.ops.links import Link, Sources, Spread
from sluicegate.ops.room import Call, Room


def _shuffled(node: fx.Node, input: fx.Node, upscale_factor: int) -> Call | None:
    return Call("pixel_shuffle", (input,), {"factor": upscale_factor}) if is_plane(input) else None


def _unshuffled(node: fx.Node, input: fx.Node, downscale_factor: int) -> Call | None:
    return Call("pixel_unshuffle", (input,), {"factor": downscale_factor}) if is_plane(input) else None


def _shuffle_links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs, outputs = channel_count(call.inputs[0]), channel_count(node)
    return (Spread(np.arange(inputs) // (inputs // outputs), outputs),)


def _unshuffle_links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs, outputs = channel_count(call.inputs[0]), channel_count(node)
    return (Sources(np.arange(outputs) // (outputs // inputs), inputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, call.kind, call.inputs, call.attributes, planes=True)


ROOM = Room(
    "pixel_shuffle",
    functions={F.pixel_shuffle: _shuffled, torch.pixel_shuffle: _shuffled},
    modules={nn.PixelShuffle: lambda node, module, input: _shuffled(node, input, module.upscale_factor)},
    links=_shuffle_links,
    zeros="each",
    lower=_lower,
)
UNSHUFFLE = Room(
    "pixel_unshuffle",
    functions={F.pixel_unshuffle: _unshuffled, torch.pixel_unshuffle: _unshuffled},
    modules={nn.PixelUnshuffle: lambda node, module, input: _unshuffled(node, input, module.downscale_factor)},
    links=_unshuffle_links,
    zeros="each",
    lower=_lower,
)
