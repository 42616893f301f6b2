"""Some rows and columns of a plane, every one or every few. `slice.py` reads its spelling."""

from typing import Any

from torch import fx, nn

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count, is_plane
from sluicegate.ops.frame.lifting import Axes
from sluicegate.ops.frame.links import Link, each
from sluicegate.ops.frame.room import Call, Room, Written


def cropped(x: fx.Node, cut: dict[int, Any]) -> Call | None:
    """x [N, C, H, W] with some slices of its pixels, by side."""
    if not is_plane(x) or any(not isinstance(part, slice) for part in cut.values()):
        return None
    starts, steps, sizes = [], [], []
    for side in (2, 3):
        start, stop, step = cut.get(side, slice(None)).indices(shape(x)[side])
        if step < 1 or stop <= start:
            return None
        starts, steps, sizes = [*starts, start], [*steps, step], [*sizes, len(range(start, stop, step))]
    return Call("crop", (x,), {"top": starts[0], "left": starts[1], "stride": tuple(steps), "size": tuple(sizes)})


def _links(node: fx.Node, call: Call) -> tuple[Link, ...]:
    return (each(channel_count(node)),)


def _lower(lowering: Any, node: fx.Node, call: Call) -> None:
    lowering.emit(node, "crop", call.inputs, call.attributes, planes=True)


def _lift(op: Written) -> nn.Module:
    starts, spans = (op.has["top"], op.has["left"]), zip(op.has["stride"], op.has["size"], strict=True)
    cuts = (
        slice(first, first + step * (size - 1) + 1, step) for first, (step, size) in zip(starts, spans, strict=True)
    )
    return Axes((slice(None), slice(None), *cuts))


ROOM = Room("crop", links=_links, zeros="each", lower=_lower, lift=_lift)
