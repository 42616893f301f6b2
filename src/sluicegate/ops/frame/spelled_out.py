"""Rewrites of ops that torch expresses as one op and a program as several, or the other way round.

    x - y                                   x + (-y)
    add(x, y, alpha=a), less too            x + a y
    addcmul(x, y, z, value=a)               x + a (y z)
    x.index_add(1, numbers, y)              x + (y, each channel at its number, among zeros)
    x ** 2, square(x)                       x x
    x [N, C, 1, 1] times y [N, 1, H, W]     x at the size of y, times y
    views that make channels of pixels      pixel_unshuffle, and a channel shuffle
    a pad by less than nothing              a crop, and a pad

In the normal form every operation has one form only, so that rooms need not support the others.
"""

import operator
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.graph import IMAGES, constant_value, is_constant, is_hooked, note_constant, shape

_LESS = (operator.sub, torch.sub, "sub")
_SUMS = (torch.add, "add", torch.sub, "sub")
_TIMES = (operator.mul, torch.mul, "mul")
_VIEWS = ("view", "reshape", "permute", "transpose", "contiguous")
_POWERS = (operator.pow, torch.pow, "pow")
_SQUARES = (torch.square, "square")
_PRODUCTS = (torch.addcmul, "addcmul")
_INDEX_SUMS = (torch.index_add, "index_add")


def spell_out(graph_module: fx.GraphModule) -> None:
    """Bring a traced graph that is pure into this form."""
    changed = False
    for node in list(graph_module.graph.nodes):
        if node.op.startswith("call_"):
            changed |= _crop_first(graph_module, node)
        if node.op in ("call_function", "call_method"):
            summands = _summands(node) or _summands_by_index(graph_module, node)
            factors = _factors(node) or _outer_factors(node)
            for operation, parts in ((operator.add, summands), (operator.mul, factors)):
                if parts:
                    node.op, node.target, node.args, node.kwargs = "call_function", operation, parts, {}
                    changed = True
            changed |= _unshuffle(node)
    if changed:
        graph_module.recompile()


def _summands(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    if not all(isinstance(x, fx.Node) and shape(x) for x in node.args):
        return None
    factor = node.kwargs.get("alpha", 1)
    if node.target in _LESS and len(node.args) == 2 and isinstance(factor, (int, float)):
        return node.args[0], _times(node, node.args[1], -factor)  # type: ignore[return-value]
    if node.target in _SUMS and len(node.args) == 2 and factor != 1:
        return node.args[0], _times(node, node.args[1], factor)  # type: ignore[return-value]
    if node.target in _PRODUCTS and len(node.args) == 3:
        product = _times(node, node.args[1], node.args[2])
        value = node.kwargs.get("value", 1)
        return node.args[0], product if value == 1 else _times(node, product, value)  # type: ignore[return-value]
    return None


def placed(x: Tensor, dim: int, index: Sequence[int]) -> Tensor:
    """Side `dim` of x by number: place i holds x[index[i]], or zeros where that is -1."""
    dim %= x.dim()
    padded = F.pad(x, [0, 0] * (x.dim() - 1 - dim) + [0, 1])
    return padded.index_select(dim, torch.tensor(index, device=x.device) % padded.shape[dim])


def _summands_by_index(graph_module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Of a sum with some channels, whose numbers are known and differ."""
    if node.target not in _INDEX_SUMS or len(node.args) != 4 or node.kwargs:
        return None
    x, dim, index, y = node.args
    if not isinstance(x, fx.Node) or not isinstance(index, fx.Node) or not is_constant(index):
        return None
    numbers = constant_value(graph_module, index).tolist()
    if len(set(numbers)) < len(numbers):
        return None
    places = [-1] * shape(x)[dim]  # type: ignore[index]
    for place, number in enumerate(numbers):
        places[number] = place
    return x, _new(node, placed, y, dim, tuple(places))  # type: ignore[arg-type]


def _factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Of a square of a value."""
    squared = (node.target in _POWERS and node.args[1:] == (2,)) or (node.target in _SQUARES and len(node.args) == 1)
    x = node.args[0] if squared and not node.kwargs else None
    return (x, x) if isinstance(x, fx.Node) and shape(x) else None


def _outer_factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Of figures for channels and figures for pixels."""
    if node.target not in _TIMES or len(node.args) != 2 or len(shape(node)) != 4:
        return None
    for x, y in (node.args, node.args[::-1]):
        if isinstance(x, fx.Node) and isinstance(y, fx.Node) and not (is_constant(x) or is_constant(y)):
            _, channels, *size = shape(node)
            if shape(x)[1:] == (channels, 1, 1) != shape(node)[1:] and shape(y)[1:] == (1, *size) != shape(node)[1:]:
                return _new(node, F.interpolate, x, tuple(size)), y
    return None


def _unshuffle(node: fx.Node) -> bool:
    """Let views that do what pixel_unshuffle does, but for the order of channels, say so."""
    if node.target not in ("view", "reshape") or len(shape(node)) != 4:
        return False
    x = _seen_through(node)
    if x is None or shape(x)[0] != shape(node)[0]:
        return False
    (images, channels, height, width), (rows, columns) = shape(x), shape(node)[2:]
    factor = height // rows
    if factor < 2 or (rows * factor, columns * factor) != (height, width):
        return False
    numbers = torch.arange(images * channels * height * width).view(shape(x))
    parts = F.pixel_unshuffle(numbers, factor).view(images, channels, factor**2, rows, columns)
    made = _looked_at(node, x, numbers)
    if torch.equal(made, parts.flatten(1, 2)):
        node.op, node.target, node.args, node.kwargs = "call_function", F.pixel_unshuffle, (x, factor), {}
        return True
    if not torch.equal(made, parts.transpose(1, 2).flatten(1, 2)):
        return False
    parts = _new(node, F.pixel_unshuffle, x, factor)
    parts = _new(node, torch.Tensor.view, parts, -1, channels, factor**2, rows, columns)
    node.args = (_new(node, torch.Tensor.transpose, parts, 1, 2), -1, channels * factor**2, rows, columns)
    node.target, node.kwargs = "reshape", {}
    return True


def _crop_first(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Let a pad by zeros that takes pixels away on some sides take them first."""
    padding = _padding(graph_module, node)
    x = node.args[0] if node.args else None
    if len(padding) != 4 or min(padding) >= 0 or not isinstance(x, fx.Node) or len(shape(x)) != 4:
        return False
    left, right, top, bottom = padding
    height, width = shape(x)[2:]
    rows, columns = slice(max(-top, 0), height + min(bottom, 0)), slice(max(-left, 0), width + min(right, 0))
    kept = _new(node, operator.getitem, x, (slice(None), slice(None), rows, columns))
    node.op, node.target, node.kwargs = "call_function", F.pad, {}
    node.args = (kept, tuple(max(side, 0) for side in padding))
    return True


def _padding(graph_module: fx.GraphModule, node: fx.Node) -> tuple[int, ...]:
    """By how much a node pads with zeros; () if it does something else."""
    if node.op == "call_module":
        module = graph_module.get_submodule(str(node.target))
        return tuple(module.padding) if type(module) is nn.ZeroPad2d and not is_hooked(module) else ()
    if node.target is not F.pad or len(node.args) != 2:
        return ()
    has, sides = node.kwargs, cast("tuple[int, ...]", node.args[1])
    zeros = has.get("mode", "constant") == "constant" and not has.get("value") and has.keys() <= {"mode", "value"}
    return tuple(sides) if zeros else ()


def _seen_through(node: fx.Node) -> fx.Node | None:
    """The plane of which views make a node's value, by way of others of more sides; None if there is none."""
    before = node.args[0]
    while isinstance(before, fx.Node) and before.op == "call_method" and before.target in _VIEWS:
        if len(shape(before)) <= 4:
            break
        before = before.args[0]
    is_plane = isinstance(before, fx.Node) and before is not node.args[0] and len(shape(before)) == 4
    return before if is_plane else None  # type: ignore[return-value]


def _looked_at(node: fx.Node, x: fx.Node, value: Tensor) -> Tensor:
    """What views make of a value of x for IMAGES[0] images."""
    assert len(value) == IMAGES[0]

    def of(part: fx.Node) -> Any:
        if part is x:
            return value
        if not shape(part):
            return part.meta["values"][0]  # a side that depends on the number of images
        first, *rest = fx.map_arg(tuple(part.args), of)
        return getattr(first, str(part.target))(*rest, **part.kwargs)

    return of(node)


def _new(before: fx.Node, function: Any, x: fx.Node, *args: Any) -> fx.Node:
    """A new node before another, which does what a function or a method does."""
    with before.graph.inserting_before(before):
        if getattr(torch.Tensor, function.__name__, None) is function:
            made = before.graph.call_method(function.__name__, (x, *args))
        else:
            made = before.graph.call_function(function, (x, *args))
    made.meta = {key: value for key, value in before.meta.items() if key == "nn_module_stack"}
    made.meta["values"] = tuple(function(value, *args) for value in x.meta["values"])
    note_constant(made)
    return made


def _times(before: fx.Node, x: Any, factor: Any) -> fx.Node:
    """A new node x * factor before another."""
    with before.graph.inserting_before(before):
        made = before.graph.call_function(operator.mul, (x, factor))
    made.meta = {key: value for key, value in before.meta.items() if key == "nn_module_stack"}
    pairs = zip(
        x.meta["values"], factor.meta["values"] if isinstance(factor, fx.Node) else (factor, factor), strict=True
    )
    made.meta["values"] = tuple(value * by for value, by in pairs)
    note_constant(made)
    return made
