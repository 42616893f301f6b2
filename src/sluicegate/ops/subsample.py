"""Every few pixels, with zero channels before and after: the parameter-free shortcut "A" of He et al. (2016)."""

from typing import Any

import numpy as np
from torch import fx, nn

from sluicegate.nets.cifar_resnet import SubsampleAndPad
from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.links import Link, Sources
from sluicegate.ops.frame.room import Call, Room, Written


def _module(node: fx.Node, module: SubsampleAndPad, input: fx.Node) -> Call | None:
    has = {"stride": module.stride, "before": module.before, "after": module.after}
    return Call("subsample", (input,), has) if is_plane(input) else None


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    inputs, before = channel_count(call.inputs[0]), call.attributes["before"]
    sources = np.full(channel_count(node), -1)
    sources[before : before + inputs] = np.arange(inputs)
    return (Sources(sources, inputs),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "subsample", call.inputs, call.attributes, planes=True, ungated=True)


def _lift(op: Written) -> nn.Module:
    module = SubsampleAndPad(op.read[0], op.made[0], op.has["stride"])
    module.before, module.after = op.has["before"], op.has["after"]
    return module


ROOM = Room("subsample", modules={SubsampleAndPad: _module}, links=_links, map="open", lower=_lower, lift=_lift)
