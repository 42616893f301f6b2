"""A scale and a shift for each channel: batch norm in evaluation, a layer scale, a learned bias.

    y = w x + b        batch norm: w = gamma / sqrt(variance + eps), b = beta - w mean

It folds into the convolution before it, and is one of a single weight a channel where there is none.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, channel_sides, layout_of
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Work, Zeros, of_module, of_nodes

_STATISTICS = ("running_mean", "running_var", "weight", "bias")


def scale_and_shift(root: nn.Module, call: Call) -> tuple[Tensor, Tensor]:
    """w and b, each [C]."""
    has = {role: weight.read(root).detach().flatten() for role, weight in call.tensors.items()}
    channels = channel_count(call.inputs[0])
    one = next(iter(has.values()))
    scale = has.get("weight", torch.ones_like(one)).expand(channels)
    shift = has.get("bias", torch.zeros_like(one)).expand(channels)
    if "running_mean" not in has:
        return scale, shift
    scale = scale * torch.rsqrt(has["running_var"] + call.attributes["eps"])
    return scale, shift - scale * has["running_mean"]


def by_constant(node: fx.Node, kind: str, x: fx.Node, constant: fx.Node) -> Call | None:
    """x times, or plus, a parameter of one figure a channel, or of one for all."""
    if not fits_channels(x, shape(constant)):
        return None
    return Call("channel_affine", (x,), {"kind": "scale"}, of_nodes(**{kind: constant}))


def fits_channels(x: fx.Node, sides: tuple[int, ...]) -> bool:
    """Whether torch broadcasts a constant of these sides as one figure for each channel of x, or one for all."""
    rank, layout = len(shape(x)), layout_of(x)
    if len(sides) > rank:
        return False
    whole = (1,) * (rank - len(sides)) + sides
    if math.prod(whole) == 1:
        return True
    in_order = layout.channels == tuple(sorted(layout.channels))
    others = [length for side, length in enumerate(whole) if side not in layout.channels]
    return in_order and set(others) <= {1} and tuple(whole[side] for side in layout.channels) == channel_sides(x)


def _batch_norm(node: fx.Node, module: _BatchNorm, input: fx.Node) -> Call | None:
    if layout_of(input).channels != (1,) or module.running_mean is None:  # without, it depends on the other images
        return None
    tensors = of_module(node, module, *_STATISTICS)
    return Call("channel_affine", (input,), {"eps": module.eps, "kind": "norm"}, tensors)


def _function(
    node: fx.Node,
    input: fx.Node,
    running_mean: fx.Node | None,
    running_var: fx.Node | None,
    weight: fx.Node | None = None,
    bias: fx.Node | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Call | None:
    if training or running_mean is None or running_var is None or layout_of(input).channels != (1,):
        return None
    tensors = of_nodes(running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    return Call("channel_affine", (input,), {"eps": eps, "kind": "norm"}, tensors)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _zeros(node: fx.Node, call: Call) -> Zeros:
    return "never" if call.tensors.keys() & {"bias", "running_mean"} else "each"


def _work(node: fx.Node, call: Call) -> Work | None:
    return Work("norm", math.prod(shape(node)[1:])) if call.attributes["kind"] == "norm" else None


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.convolution(node, call)


ROOM = Room(
    "channel_affine",
    functions={F.batch_norm: _function, torch.batch_norm: _function},
    modules={nn.BatchNorm1d: _batch_norm, nn.BatchNorm2d: _batch_norm, nn.SyncBatchNorm: _batch_norm},
    links=_links,
    zeros=_zeros,
    map="any",
    work=_work,
    lower=_lower,
)
