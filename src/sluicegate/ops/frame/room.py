"""A room: everything about one op, in one file of this folder.

How torch spells it (functions, methods, modules), what it does to channels, its MACs, and how it becomes an op of a
program. Reading a network (`reading.py`) gives every node its `Call`; later code uses the call's room and never checks
the class of a module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from sluicegate.graph import constant_value, shape
from sluicegate.ops.frame.layout import Layout, layout_of
from sluicegate.ops.frame.links import Link


@dataclass(frozen=True)
class Weight:
    """Where a tensor of an op is kept: an attribute of the module at `path`, or a node made of such alone."""

    path: str = ""
    name: str = ""
    node: fx.Node | None = None

    def read(self, root: nn.Module) -> Tensor:
        """The tensor as it is now."""
        if self.node is not None:
            return constant_value(root, self.node)
        return getattr(root.get_submodule(self.path), self.name)


@dataclass(frozen=True)
class Call:
    """What a node does, whatever its spelling.

    Attributes:
        kind: the name of its room.
        inputs: the values that it reads.
        attributes: numbers and words, by the names that the program has for them.
        tensors: role ("weight", "bias") -> where it is kept.
        layout: of what it makes; that of its first input where it is None.
    """

    kind: str
    inputs: tuple[fx.Node, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Weight] = field(default_factory=dict)
    layout: Layout | None = None


class Work(NamedTuple):
    """Multiply-adds of one op for one image: unit for each pair of an input and an output channel of one group.

    `kind` is conv, linear or matmul (of what no room knows), which are counted; or pool, norm, add, which are only
    listed.
    """

    kind: str
    unit: int
    inputs: int = 1
    outputs: int = 1
    groups: int = 1


Zeros = Literal["each", "product", "never"]

Parser = Callable[..., Call | None]
"""(node, *arguments of the function or method) -> call; None if the op is used in a way that is not known."""

ModuleParser = Callable[..., Call | None]
"""(node, module, *arguments) -> call."""

Lower = Callable[..., None]
"""(lowering, node, call): add the op to the program under construction."""


class Written(NamedTuple):
    """An op as a program has it, for one sample.

    Attributes:
        has: its attributes, all of them.
        tensors: role -> what it is, float32.
        read, made: sides of its first input and of its output: (C, H, W) or (C,).
    """

    has: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    read: tuple[int, ...]
    made: tuple[int, ...]


Lift = Callable[[Written], nn.Module | None]
"""op -> module of torch; None for one that torch has no module for."""


def _no_work(node: fx.Node, call: Call) -> Work | None:
    return None


@dataclass(frozen=True)
class Room:
    """One op.

    Attributes:
        kind: its name, the same in the runtime and in the engine if they have it.
        functions, methods, modules: spellings; a module's by its class, or by the full name of a class that need not
            be installed.
        links: how each input's channels are related to the output's; None for an op of which only the cost is known.
        zeros: whether an output channel is zero if the channels that it depends on are: those of all inputs, those of
            any one input ("product"), or not for certain.
        map: which channel maps the engine's op can have. "any": output and input can lack different channels, so work
            is saved here; "linked": the output lacks the channels that the input lacks; "open": no channel is
            missing.
        work: its multiply-adds.
        lower: how it becomes an op of a program; None if the engine does not run it.
        lift: from a program's op back to a module (see `lifting.py`); None for ops of gates.
    """

    kind: str
    functions: Mapping[Any, Parser] = field(default_factory=dict)
    methods: Mapping[str, Parser] = field(default_factory=dict)
    modules: Mapping[type[nn.Module] | str, ModuleParser] = field(default_factory=dict)
    links: Callable[[fx.Node, Call], tuple[Link, ...]] | None = None
    zeros: Zeros | Callable[[fx.Node, Call], Zeros] = "never"
    map: Literal["any", "linked", "open"] = "linked"
    work: Callable[[fx.Node, Call], Work | None] = _no_work
    lower: Lower | None = None
    lift: Lift | None = None


def call_of(node: fx.Node) -> Call | None:
    """What reading the network found that a node does; None for what is not known, and for what is no tensor."""
    return node.meta.get("call")


def inputs_of(node: fx.Node) -> tuple[fx.Node, ...]:
    """The values that a node's call reads, none where there is no call."""
    call = call_of(node)
    return call.inputs if call else ()


def kind_of(node: fx.Node) -> str:
    """The kind of a node's call, "" where there is none."""
    call = call_of(node)
    return call.kind if call else ""


def of_module(node: fx.Node, module: nn.Module, *names: str) -> dict[str, Weight]:
    """The tensors that a module has, by name."""
    return {name: Weight(str(node.target), name) for name in names if _has(module, name)}


def _has(module: nn.Module, name: str) -> bool:
    """Whether a module has a tensor; one that is parametrized is not looked at, which would move its state on."""
    return is_parametrized(module, name) or getattr(module, name, None) is not None


def of_nodes(**nodes: fx.Node | None) -> dict[str, Weight]:
    """The tensors that are arguments, by role."""
    return {role: Weight(node=node) for role, node in nodes.items() if node is not None}


def pair(sides: Any) -> tuple[int, int]:
    """A number for both sides, or one for each."""
    if isinstance(sides, int):
        return sides, sides
    return (int(sides[0]), int(sides[0])) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def same_sides(a: fx.Node, b: fx.Node) -> bool:
    """Whether two values have the same shape and the same layout."""
    return shape(a) == shape(b) and layout_of(a) == layout_of(b)


def zeros_of(room: Room, node: fx.Node, call: Call) -> Zeros:
    """Where a room's op makes zeros of zeros."""
    return room.zeros(node, call) if callable(room.zeros) else room.zeros
