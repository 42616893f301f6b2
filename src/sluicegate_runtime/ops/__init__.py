"""A room for each kind of op: attributes, rule, NumPy definition. One file each, of the kind's name.

The engine has a file of the same name for each of them in csrc/ops/. A new op is a file here and one there.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from sluicegate_runtime.errors import InputError
from sluicegate_runtime.ops.frame.room import Attributes, Room
from sluicegate_runtime.program import Op


def _rooms() -> Iterator[Room]:
    """The room of every file in this folder."""
    for file in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        if file != "frame":
            yield importlib.import_module(f"{__name__}.{file}").ROOM


ROOMS: Mapping[str, Room] = {room.kind: room for room in _rooms()}


def room_of(op: Op) -> Room:
    """The room of an op's kind. InputError if there is none of that name."""
    if op.kind not in ROOMS:
        raise InputError(f"op {op.name!r}: unknown kind {op.kind!r}; known: {', '.join(ROOMS)}")
    return ROOMS[op.kind]


def attributes_of(op: Op) -> Attributes:
    """All attributes of `op`, defaults filled in. InputError names an unknown one or one of the wrong type."""
    return room_of(op).attributes_of(op)
