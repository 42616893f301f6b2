"""Learned numbers that are the same for every image."""

from typing import Any

from torch import fx

from sluicegate.gates.heads import Constant
from sluicegate.ops.frame.layout import VECTOR
from sluicegate.ops.frame.links import Link
from sluicegate.ops.frame.room import Call, Room, of_module


def _module(node: fx.Node, module: Constant, *inputs: fx.Node) -> Call:
    return Call("constant", (), {}, {"bias": of_module(node, module, "values")["values"]}, VECTOR)


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return ()


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "constant", (), {}, call.tensors)


ROOM = Room("constant", modules={Constant: _module}, links=_links, map="open", lower=_lower)
