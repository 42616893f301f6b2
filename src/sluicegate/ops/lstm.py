"""One step of an LSTM whose state is one vector [h; c], as gates that share a state have it.

MACs = 4 D (F + D), D neurons, F features; 4 D F at the first step, which has no state
"""

from typing import Any

import torch
from torch import fx

from sluicegate.gates.recurrent import LstmCell, hidden_of
from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Room, Work


def _module(node: fx.Node, module: LstmCell, features: fx.Node, state: fx.Node | None = None) -> Call:
    return Call("lstm", (features,) if state is None else (features, state))


def _hidden(node: fx.Node, state: fx.Node) -> Call:
    return Call("slice", (state,), {"start": 0, "size": shape(node)[1]})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return tuple(Mixed(channel_count(x), channel_count(node)) for x in call.inputs)


def _work(node: fx.Node, call: Call) -> Work:
    hidden = shape(node)[1] // 2
    state = hidden if len(call.inputs) == 2 else 0
    return Work("linear", 4, channel_count(call.inputs[0]) + state, hidden)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    cell = lowering.module(node).cell
    parts = (cell.weight_ih, cell.weight_hh)[: len(call.inputs)]
    tensors = {"weight": torch.cat(parts, dim=1), "bias": cell.bias_ih + cell.bias_hh}
    lowering.emit(node, "lstm", call.inputs, {}, tensors, ungated=True)


ROOM = Room(
    "lstm",
    functions={hidden_of: _hidden},
    modules={LstmCell: _module},
    links=_links,
    map="open",
    work=_work,
    lower=_lower,
)
