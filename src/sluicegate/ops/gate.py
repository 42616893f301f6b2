"""A gate decides: logits -> decisions, of every site that it serves."""

from typing import Any

from torch import fx

from sluicegate.gates.gate import Gate
from sluicegate.ops.frame.room import Call, Room


def _module(node: fx.Node, module: Gate, *logits: fx.Node) -> Call:
    return Call("gate", tuple(logits))


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.gate(node, call)


ROOM = Room("gate", modules={Gate: _module}, lower=_lower)
