"""Products of matrices, as attention has them: counted, not run by the engine.

MACs = output elements * inner dimension
"""

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from sluicegate.graph import IMAGES, shape
from sluicegate.ops.room import Call, Room, Work


def _product(node: fx.Node, input: fx.Node, other: fx.Node) -> Call:
    return Call("matmul", (input, other), {"inner": shape(input)[-1]})


def _added(node: fx.Node, input: fx.Node, first: fx.Node, second: fx.Node, **more: Any) -> Call:
    return Call("matmul", (first, second), {"inner": shape(first)[-1]})


def _attention(node: fx.Node, query: fx.Node, key: fx.Node, value: fx.Node, *rest: Any, **more: Any) -> Call:
    """Queries meet keys, and what comes of that the values."""
    times = math.prod(shape(query)) * shape(key)[-2] + math.prod(shape(node)) * shape(key)[-2]
    return Call("matmul", (query, key, value), {"times": times})


def _work(node: fx.Node, call: Call) -> Work:
    times = call.attributes.get("times")
    if times is None:
        times = math.prod(shape(node)) * call.attributes["inner"]
    return Work("matmul", times // IMAGES[0])


ROOM = Room(
    "matmul",
    functions={
        **dict.fromkeys((torch.matmul, torch.mm, torch.bmm, torch.mv, operator.matmul), _product),
        **dict.fromkeys((torch.addmm, torch.baddbmm, torch.addmv), _added),
        F.scaled_dot_product_attention: _attention,
    },
    methods={
        **dict.fromkeys(("matmul", "mm", "bmm", "mv", "__matmul__"), _product),
        **dict.fromkeys(("addmm", "baddbmm", "addmv"), _added),
    },
    work=_work,
)
