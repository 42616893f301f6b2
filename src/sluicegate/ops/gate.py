"""What gates do in a graph: they decide, and their decisions close channels, skip layers and take exits.

    difference    two logits a gate become one: on - off
    gate          logits -> decisions
    select        a mask: channels of closed gates become zero
    layer_mask    the end of a branch, zero for images that skip it
    exit          what an image that leaves is given, else what comes of going on
"""

from typing import Any

import numpy as np
from torch import fx

from sluicegate.gates.gate import Gate, on_minus_off
from sluicegate.gates.mask import leave, mask_channels, mask_layer
from sluicegate.ops.layout import VECTOR, channel_count
from sluicegate.ops.links import Link, Spread, each
from sluicegate.ops.room import Call, Room


def _difference(node: fx.Node, raw: fx.Node) -> Call:
    return Call("difference", (raw,), layout=VECTOR)


def _gate(node: fx.Node, module: Gate, *logits: fx.Node) -> Call:
    return Call("gate", tuple(logits))


def _mask(node: fx.Node, x: fx.Node, factor: fx.Node, dim: int = 1) -> Call:
    return Call("select", (x,), {"factor": factor})


def _layer(node: fx.Node, x: fx.Node, factor: fx.Node) -> Call:
    return Call("layer_mask", (x,), {"factor": factor})


def _leave(node: fx.Node, early: fx.Node, is_open: fx.Node, later: fx.Node) -> Call:
    return Call("exit", (early, later), {"open": is_open})


def _same(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),) * len(call.inputs)


def _pairs(node: fx.Node, call: Call) -> tuple[Link, ...]:
    outputs = channel_count(node)
    return (Spread(np.arange(2 * outputs) // 2, outputs),)


def _lower_exit(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[1])


DIFFERENCE = Room(
    "difference", functions={on_minus_off: _difference}, links=_pairs, lower=lambda lowering, node, call: lowering.difference(node, call)
)
GATE = Room("gate", modules={Gate: _gate}, lower=lambda lowering, node, call: lowering.gate(node, call))
SELECT = Room("select", functions={mask_channels: _mask}, links=_same, zeros="each", map="any", lower=lambda lowering, node, call: lowering.select(node, call))
LAYER = Room("layer_mask", functions={mask_layer: _layer}, links=_same, lower=lambda lowering, node, call: lowering.alias(node, call.inputs[0]))
EXIT = Room("exit", functions={leave: _leave}, links=_same, lower=_lower_exit)
