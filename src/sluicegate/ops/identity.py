"""What hands its input on as it is, in evaluation: dropout, stochastic depth, copies, sides in another order.

A permutation costs nothing: what follows is told which sides are channels.
"""

from typing import Any

import torch
from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import axis, channel_count, layout_of, renumbered, with_sides
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room


def handed_on(node: fx.Node, module: nn.Module, input: Any, *rest: Any) -> Call | None:
    """The call of a module that is its input in evaluation."""
    return Call("identity", (input,)) if isinstance(input, fx.Node) and shape(input) == shape(node) else None


def _method(node: fx.Node, input: fx.Node, *rest: Any, **more: Any) -> Call | None:
    same = node.meta["values"][0].dtype == input.meta["values"][0].dtype
    return Call("identity", (input,)) if same and shape(input) == shape(node) else None


def _permute(node: fx.Node, x: fx.Node, *dims: Any, **named: Any) -> Call | None:
    order = named.get("dims", dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)
    return _moved(x, [axis(x, dim) for dim in order])


def _transpose(node: fx.Node, x: fx.Node, dim0: int, dim1: int) -> Call | None:
    order = list(range(len(shape(x))))
    a, b = axis(x, dim0), axis(x, dim1)
    order[a], order[b] = order[b], order[a]
    return _moved(x, order)


def _moved(x: fx.Node, order: list[int]) -> Call | None:
    if order[0] != 0:
        return None
    return Call("identity", (x,), layout=renumbered(layout_of(x), {old: new for new, old in enumerate(order)}))


def _unsqueeze(node: fx.Node, x: fx.Node, dim: int) -> Call | None:
    side = dim % len(shape(node))
    place = {old: old + (old >= side) for old in range(len(shape(x)))}
    return Call("identity", (x,), layout=with_sides(x, place, len(shape(node)))) if side else None


def _squeeze(node: fx.Node, x: fx.Node, dim: Any = None) -> Call | None:
    if dim is None:
        return None
    gone = {axis(x, side) for side in ((dim,) if isinstance(dim, int) else dim)}
    gone = {side for side in gone if shape(x)[side] == 1}
    kept = [side for side in range(len(shape(x))) if side not in gone]
    layout = renumbered(layout_of(x), {old: new for new, old in enumerate(kept)})
    return Call("identity", (x,), layout=layout) if 0 not in gone and layout.channels else None


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.alias(node, call.inputs[0])


_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ROOM = Room(
    "identity",
    functions={
        **dict.fromkeys((torch.clone, torch.detach), _method),
        torch.permute: _permute,
        **dict.fromkeys((torch.transpose, torch.swapaxes), _transpose),
        torch.unsqueeze: _unsqueeze,
        torch.squeeze: _squeeze,
    },
    methods={
        **dict.fromkeys(("contiguous", "clone", "detach", "float", "to", "type_as", "type"), _method),
        "permute": _permute,
        **dict.fromkeys(("transpose", "swapaxes"), _transpose),
        "unsqueeze": _unsqueeze,
        "squeeze": _squeeze,
    },
    modules={nn.Identity: handed_on, **dict.fromkeys(_DROPOUTS, handed_on)},
    links=_links,
    zeros="each",
    lower=_lower,
)
