"""Norms that look at the image at hand: over all channels of a pixel, or over groups of channels and all pixels.

A gate may stand before one only where it closes whole groups.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from sluicegate.graph import shape
from sluicegate.ops.layout import Layout, channel_count, layout_of
from sluicegate.ops.links import Link, Mixed
from sluicegate.ops.room import Call, Room, Weight, Work, of_module, of_nodes


def _layer(
    node: fx.Node,
    input: fx.Node,
    normalized_shape: Any,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    eps: float = 1e-5,
) -> Call | None:
    return _over_last(input, len(normalized_shape), eps, of_nodes(weight=weight, bias=bias))


def _layer_module(node: fx.Node, module: nn.LayerNorm, input: fx.Node) -> Call | None:
    tensors = of_module(node, module, "weight", "bias")
    return _over_last(input, len(module.normalized_shape), module.eps, tensors)


def _over_last(x: fx.Node, count: int, eps: float, tensors: dict[str, Weight]) -> Call | None:
    rank, layout = len(shape(x)), layout_of(x)
    over = set(range(rank - count, rank))
    if over == set(layout.channels):
        return Call("layer_norm", (x,), {"eps": eps}, tensors)
    whole = over == {*layout.channels, *layout.pixels} and not tensors
    return Call("group_norm", (x,), {"groups": 1, "eps": eps}) if whole else None


def _group(
    node: fx.Node,
    input: fx.Node,
    num_groups: int,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    eps: float = 1e-5,
) -> Call | None:
    return _groups(input, num_groups, eps, of_nodes(weight=weight, bias=bias))


def _group_module(node: fx.Node, module: nn.GroupNorm, input: fx.Node) -> Call | None:
    return _groups(input, module.num_groups, module.eps, of_module(node, module, "weight", "bias"))


def _instance_module(node: fx.Node, module: _InstanceNorm, input: fx.Node) -> Call | None:
    if module.track_running_stats:
        return None
    return _groups(input, module.num_features, module.eps, of_module(node, module, "weight", "bias"))


def _groups(x: fx.Node, groups: int, eps: float, tensors: dict[str, Weight]) -> Call | None:
    if layout_of(x) not in (Layout((1,), (2, 3)), Layout((1,))):
        return None
    return Call("group_norm", (x,), {"groups": groups, "eps": eps}, tensors)


def _layer_links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(channel_count(node), channel_count(node)),)


def _group_links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(channel_count(node), channel_count(node), call.attributes["groups"]),)


def _work(node: fx.Node, call: Call) -> Work:
    return Work("norm", math.prod(shape(node)[1:]))


def _lower_layer(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "layer_norm", call.inputs, call.attributes, call.tensors, ungated=True)


def _lower_group(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "group_norm", call.inputs, call.attributes, call.tensors)


LAYER = Room(
    "layer_norm",
    functions={F.layer_norm: _layer, torch.layer_norm: _layer},
    modules={nn.LayerNorm: _layer_module},
    links=_layer_links,
    map="open",
    work=_work,
    lower=_lower_layer,
)
GROUP = Room(
    "group_norm",
    functions={F.group_norm: _group, torch.group_norm: _group},
    modules={nn.GroupNorm: _group_module, nn.InstanceNorm2d: _instance_module},
    links=_group_links,
    work=_work,
    lower=_lower_group,
)
