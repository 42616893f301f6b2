"""Group norm: over groups of channels and all pixels; instance norm is that of one channel a group.

A gate may stand before one only where it closes whole groups.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from sluicegate.ops.frame.layout import Layout, channel_count, layout_of
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.norms import work_of_norm
from sluicegate.ops.frame.room import Call, Room, Weight, Written, of_module, of_nodes


def _function(
    node: fx.Node,
    input: fx.Node,
    num_groups: int,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    eps: float = 1e-5,
) -> Call | None:
    return _call(input, num_groups, eps, of_nodes(weight=weight, bias=bias))


def _module(node: fx.Node, module: nn.GroupNorm, input: fx.Node) -> Call | None:
    return _call(input, module.num_groups, module.eps, of_module(node, module, "weight", "bias"))


def _instance_module(node: fx.Node, module: _InstanceNorm, input: fx.Node) -> Call | None:
    if module.track_running_stats:
        return None
    return _call(input, module.num_features, module.eps, of_module(node, module, "weight", "bias"))


def _call(x: fx.Node, groups: int, eps: float, tensors: dict[str, Weight]) -> Call | None:
    if layout_of(x) not in (Layout((1,), (2, 3)), Layout((1,))):
        return None
    return Call("group_norm", (x,), {"groups": groups, "eps": eps}, tensors)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (Mixed(channel_count(node), channel_count(node), call.attributes["groups"]),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "group_norm", call.inputs, call.attributes, call.tensors)


def _lift(op: Written) -> nn.Module:
    channels = op.read[0]
    norm = nn.GroupNorm(op.has["groups"], channels, op.has["eps"])
    norm.load_state_dict(norm.state_dict() | dict(op.tensors))
    return norm


ROOM = Room(
    "group_norm",
    functions={F.group_norm: _function, torch.group_norm: _function},
    modules={nn.GroupNorm: _module, nn.InstanceNorm2d: _instance_module},
    links=_links,
    work=work_of_norm,
    lower=_lower,
    lift=_lift,
)
