"""How each kind of op is rebuilt with fewer channels.

Legend: C channels.

A rule gets a node, its call and the channels to keep of its output, [C] bool. It returns the new value, or None if it
does not support this form of the op. In that case, and for kinds without a rule, the op stays whole.
"""

import operator
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.cutting.layers import (
    groups_left,
    sliced_conv,
    sliced_group_norm,
    sliced_linear,
    sliced_norm,
    sliced_prelu,
    with_inputs,
)
from sluicegate.cutting.walk import Made, Walk, dim_of
from sluicegate.graph import module_of, shape
from sluicegate.ops import PLANE, VECTOR, Call, channel_count, kind_of, layout_of, pixel_count, room_of

Rule = Callable[[Walk, fx.Node, Call, np.ndarray], Made | None]


def _conv(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    (x,), layer = call.inputs, module_of(walk.network, node)
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d)) or channel_count(x) != layer.in_channels:
        return None
    padding = (*call.attributes["padding"], *call.attributes["extra_padding"])
    read, numbers = _read(walk, x, layer.groups == 1 and not any(padding))
    left = groups_left(read, kept, layer.groups)
    read, made = _among(left.inputs, len(walk.kept(x))), _among(left.outputs, len(kept))
    key = read.tobytes() + made.tobytes() + _bytes(numbers)
    target = walk.place(node, key, lambda: sliced_conv(with_inputs(layer, numbers), left))
    return Made(walk.copy(node, {x: walk.with_channels(x, read)}, target), made)


def _linear(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    (x,), layer = call.inputs, module_of(walk.network, node)
    if not isinstance(layer, nn.Linear):
        return None
    read, numbers = _read(walk, x, len(layout_of(x).channels) == 1)
    read = read if read.any() else np.arange(len(read)) == 0
    key = read.tobytes() + kept.tobytes() + _bytes(numbers)
    target = walk.place(node, key, lambda: sliced_linear(with_inputs(layer, numbers), read, kept))
    return Made(walk.copy(node, {x: walk.with_channels(x, read)}, target), kept)


def _layer_of_channels(kind: type[nn.Module], sliced: Callable[..., nn.Module]) -> Rule:
    """The rule of a module with numbers for each channel."""

    def rule(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
        (x,), layer = call.inputs, module_of(walk.network, node)
        if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            return _each(walk, node, call, kept)
        if not isinstance(layer, kind):
            return None
        target = walk.place(node, kept.tobytes(), lambda: sliced(layer, kept))
        return Made(walk.copy(node, {x: walk.with_channels(x, kept)}, target), kept)

    return rule


def _group_norm(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    by_group = kept.reshape(call.attributes["groups"], -1)
    whole = (by_group == by_group[:, :1]).all()
    return _layer_of_channels(nn.GroupNorm, sliced_group_norm)(walk, node, call, kept) if whole else None


def _each(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    """An op that looks at channels one by one, and knows no number of them."""
    if any(channel_count(x) != len(kept) for x in call.inputs):
        return None
    return Made(walk.copy(node, {x: walk.with_channels(x, kept) for x in call.inputs}), kept)


def _identity(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    """The same numbers under other sides; a view may name the number of channels."""
    (x,) = call.inputs
    new = walk.with_channels(x, kept)
    if len(shape(x)) == len(shape(node)):
        return Made(new, kept) if _is_view(node) and dim_of(x) == dim_of(node) else _each(walk, node, call, kept)
    if layout_of(node) == VECTOR and dim_of(x) == 1:
        return Made(walk.emit(node, "call_function", torch.flatten, (new, 1)), kept)
    if layout_of(x) == VECTOR and layout_of(node) == PLANE:
        index = (slice(None), slice(None), None, None)
        return Made(walk.emit(node, "call_function", operator.getitem, (new, index)), kept)
    return None


def _is_view(node: fx.Node) -> bool:
    return node.op == "call_method" and node.target in ("view", "reshape")


def _flatten(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    """A plane's channels, pixel by pixel."""
    (x,) = call.inputs
    if layout_of(node) != VECTOR or layout_of(x) != PLANE or len(kept) != channel_count(x) * pixel_count(x):
        return None
    read = np.asarray(kept.reshape(channel_count(x), -1).any(1))
    new = walk.emit(node, "call_function", torch.flatten, (walk.with_channels(x, read), 1))
    return Made(new, np.repeat(read, pixel_count(x)))


def _concat(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    ends = np.cumsum([channel_count(x) for x in call.inputs])[:-1]
    parts = [(x, part) for x, part in zip(call.inputs, np.split(kept, ends), strict=True) if part.any()]
    if dim_of(node) != dim_of(call.inputs[0]) or len(shape(node)) != len(shape(call.inputs[0])):
        return None
    values = [walk.with_channels(x, part) for x, part in parts]
    return Made(walk.emit(node, "call_function", torch.cat, (values, dim_of(node))), kept)


def _picked(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    """Some channels of a value, or all in another order."""
    room, x = room_of(node), call.inputs[0]
    assert room and room.links
    sources = room.links(node, call)[0].push(np.arange(channel_count(x)))
    while kind_of(x) == "identity" and len(layout_of(x).channels) > 1:  # only looked at as several sides
        x = x.all_input_nodes[0]
    if layout_of(x) != layout_of(node) or shape(x)[2:] != shape(node)[2:] or channel_count(x) <= sources.max():
        return None
    return Made(walk.picked(x, sources[kept]), kept)


def _add(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    """A sum; what has some channels alone is added to these."""
    values = [x for x in call.inputs if walk.made[x].node is not None]
    numbers = [x for x in call.inputs if x not in values and walk.made[x].nonzero().any()]
    first = next((x for x in values if (walk.made[x].have | ~kept).all()), values[0])
    total = walk.with_channels(first, kept)
    rest = list(values)
    rest.remove(first)
    for x in rest:
        there = walk.made[x].nonzero() & kept
        if (there == kept).all():
            total = walk.emit(node, "call_function", operator.add, (total, walk.with_channels(x, kept)))
        elif there.any():
            places = walk.buffer(f"{node.name}_places", torch.from_numpy((np.cumsum(kept) - 1)[there]).long())
            added = walk.with_channels(x, there)
            total = walk.emit(node, "call_function", torch.index_add, (total, dim_of(node), places, added))
    for x in numbers:
        total = walk.emit(node, "call_function", operator.add, (total, walk.numbers(x, kept)))
    return Made(total, kept)


def _multiply(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    x, factor = call.inputs
    same = channel_count(factor) == len(kept)
    by = walk.with_channels(factor, kept) if same else walk.whole(factor)
    return Made(walk.emit(node, "call_function", operator.mul, (walk.with_channels(x, kept), by)), kept)


def _difference(walk: Walk, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
    (raw,) = call.inputs
    return Made(walk.copy(node, {raw: walk.with_channels(raw, np.repeat(kept, 2))}), kept)


def _read(walk: Walk, x: fx.Node, sees_all: bool) -> tuple[np.ndarray, Tensor | None]:
    """The channels of a value that a layer reads, [C] bool: those that are there and may be other than zero.

    If every window sees all of a channel (`sees_all`), those that are numbers go into the layer's bias: [C], or None.
    """
    made, kept = walk.made[x], walk.kept(x)
    if sees_all and made.constant is not None and (made.have & kept).any():
        return made.have & kept, made.constant * torch.from_numpy(kept)
    return made.nonzero() & kept, None


def _bytes(numbers: Tensor | None) -> bytes:
    return b"" if numbers is None else numbers.numpy().tobytes()


def _among(channels: np.ndarray, count: int) -> np.ndarray:
    return np.isin(np.arange(count), channels)


RULES: dict[str, Rule] = {
    "conv": _conv,
    "linear": _linear,
    "channel_affine": _layer_of_channels(_BatchNorm, sliced_norm),
    "prelu": _layer_of_channels(nn.PReLU, sliced_prelu),
    "group_norm": _group_norm,
    "identity": _identity,
    "reshape": _flatten,
    "concat": _concat,
    "slice": _picked,
    "shuffle": _picked,
    "add": _add,
    "multiply": _multiply,
    "difference": _difference,
    **dict.fromkeys(("activation", "affine", "max_pool", "avg_pool", "adaptive_pool", "global_pool"), _each),
    **dict.fromkeys(("pad", "crop", "resize"), _each),
}
