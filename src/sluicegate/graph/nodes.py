"""Information on a node of a traced network: the shape of its value, and whether it depends on the images.

Legend: N images, C channels, H W pixels.

A network is traced with two numbers of images at once. `meta["values"]` has a node's value for both, as tensors without
data. A dimension that differs between them depends on the number of images; all others are fixed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

IMAGES = (2, 3)
"""The two numbers of images."""


def shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of a node's value for `IMAGES[0]` images; () for values that are not one tensor."""
    values = node.meta.get("values")
    return tuple(values[0].shape) if values and isinstance(values[0], Tensor) else ()


def copies(node: fx.Node) -> int | None:
    """How many times a node's value holds each image: k where its first side is k N; None if it is not a multiple
    of the number of images, or another side depends on that too."""
    values = node.meta.get("values")
    if not values or not all(isinstance(value, Tensor) and value.dim() for value in values):
        return None
    first, second = (tuple(value.shape) for value in values)
    rows, rest = divmod(first[0], IMAGES[0])
    fits = rest == 0 and rows > 0 and second[0] == rows * IMAGES[1] and first[1:] == second[1:]
    return rows if fits else None


def example_of(node: fx.Node) -> Tensor:
    """Zeros of a node's shape and type."""
    return torch.zeros(shape(node), dtype=node.meta["values"][0].dtype)


def note_shape(node: fx.Node, like: fx.Node, *sides: int) -> None:
    """Note the shape (images of `like`, *sides) of a node that was added to a traced graph."""
    node.meta["values"] = tuple(value.new_empty((len(value), *sides)) for value in like.meta["values"])


def module_of(graph_module: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, if it calls one."""
    return graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None


def label(node: fx.Node) -> str:
    """A short name: the path of the module that a node calls, or its own; below the name of a part that it is in."""
    if node.op == "call_module":
        return str(node.target)
    part = node.meta.get("part")
    return f"{part}.{getattr(node.target, '__name__', node.target)}" if part else node.name


def shape_text(node: fx.Node) -> str:
    """A shape for messages, with N for the number of images: (N, 3, 32, 32)."""
    return f"(N, {', '.join(map(str, shape(node)[1:]))})" if shape(node) else "()"


def path_of(node: fx.Node) -> str:
    """What a user would call a node: the path of the module that it calls, else its own name and where it stands."""
    if node.op == "call_module":
        return str(node.target)
    stack = list(node.meta.get("nn_module_stack", ()))
    return f"{node.name} in {stack[-1]}" if stack and stack[-1] else node.name


def output_of(graph: fx.Graph) -> fx.Node:
    """The node with which a graph ends."""
    return next(node for node in reversed(graph.nodes) if node.op == "output")


def is_constant(node: fx.Node) -> bool:
    """Whether a node's value is made of parameters and buffers alone."""
    return node.op == "get_attr" or bool(node.meta.get("constant"))


def note_constant(node: fx.Node) -> None:
    """Note whether a node is constant, once those that it reads have been noted."""
    reads = node.all_input_nodes
    node.meta["constant"] = node.op.startswith("call_") and bool(reads) and all(map(is_constant, reads))


def constant_value(graph_module: nn.Module, node: fx.Node) -> Tensor:
    """The value of a node that is constant, as it is now."""
    known: dict[fx.Node, Any] = {}
    for part in _in_order(node):
        known[part] = call(graph_module, part, known.__getitem__)
    return known[node]


def call(root: nn.Module, node: fx.Node, value_of: Callable[[fx.Node], Any]) -> Any:
    """Do what a node does, given the values of the nodes that it reads."""
    args, kwargs = fx.map_arg((tuple(node.args), dict(node.kwargs)), value_of)
    match node.op:
        case "get_attr":
            return _attribute(root, str(node.target))
        case "call_module":
            return root.get_submodule(str(node.target))(*args, **kwargs)
        case "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    assert callable(node.target), node.op
    return node.target(*args, **kwargs)


def _attribute(root: nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _in_order(node: fx.Node) -> list[fx.Node]:
    """A node and all that it is made of, what is read before who reads it."""
    found: dict[fx.Node, None] = {}
    waiting = [node]
    while waiting:
        part = waiting.pop()
        missing = [before for before in part.all_input_nodes if before not in found]
        if missing:
            waiting += [part, *missing]
        else:
            found[part] = None
    return list(found)
