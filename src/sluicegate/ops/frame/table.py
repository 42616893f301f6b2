"""Every room, found by the name of its file, and the spellings by which nodes are found to be theirs."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import fx, nn

from sluicegate.graph import class_name, own_methods, standard_type
from sluicegate.ops.frame.room import Call, ModuleParser, Room, call_of, zeros_of


def _rooms() -> Iterator[Room]:
    """The room of every file in the folder above."""
    for file in sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parents[1])])):
        if file != "frame":
            yield importlib.import_module(f"sluicegate.ops.{file}").ROOM


ROOMS: dict[str, Room] = {room.kind: room for room in _rooms()}


def _merged(tables: Iterable[Any]) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for table in tables:
        if twice := merged.keys() & table.keys():
            raise AssertionError(f"two rooms claim {twice}")
        merged |= table
    return merged


FUNCTIONS = _merged(room.functions for room in ROOMS.values())
METHODS = _merged(room.methods for room in ROOMS.values())
MODULES = _merged(room.modules for room in ROOMS.values())
WHOLE = frozenset(name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}" for name in MODULES)
"""Full names of the classes that rooms know."""


def room_of(node: fx.Node) -> Room | None:
    """The room of what a node does, if it is known."""
    call = call_of(node)
    return ROOMS[call.kind] if call else None


def keeps_zero(node: fx.Node) -> bool:
    """Whether a channel that is zero in all inputs of a node is zero in what it makes."""
    call, room = call_of(node), room_of(node)
    return call is not None and room is not None and zeros_of(room, node, call) == "each"


def module_parser(module: nn.Module) -> ModuleParser | None:
    """How a module is read: by its exact class, or that of torch.nn of which it changes nothing."""
    if own_methods(module):
        return None
    return MODULES.get(type(module)) or MODULES.get(class_name(module)) or MODULES.get(standard_type(module))


def parsed(node: fx.Node, module: nn.Module | None) -> Call | None:
    """The call of a node, by its spelling."""
    if module is not None:
        parser: Any = module_parser(module)
        arguments: tuple[Any, ...] = (node, module, *node.args)
    else:
        parser = METHODS.get(str(node.target)) if node.op == "call_method" else FUNCTIONS.get(node.target)
        arguments = (node, *node.args)
    if parser is None:
        return None
    try:
        return parser(*arguments, **node.kwargs)
    except TypeError:  # an argument that the room does not know
        return None
