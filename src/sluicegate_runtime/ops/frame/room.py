"""A room: everything about one kind of op, for every engine.

`spec.py` uses the rule (`shape` and `channels`), `reference.py` the NumPy definition (`run`). They describe an op by
`Given` and `Call`. Everything else that differs between kinds is a field here, so code outside of a room never checks
the name of a kind.

C channels, H height, W width, F features, G gates.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any, Literal

import numpy as np

from sluicegate_runtime.channels import OPEN
from sluicegate_runtime.errors import InputError
from sluicegate_runtime.program import Attribute, Op, Value

from .limits import MAX_ATTRIBUTE, MAX_FLOAT

Shape = tuple[int, ...]
Attributes = Mapping[str, Any]  # complete, and each of the type of its default


def require(rule: bool | np.bool_, op: Op, message: str) -> None:
    """InputError, one line that names the op, unless `rule` holds."""
    if not rule:
        raise InputError(f"op {op.name!r}: {message}")


@dataclass(frozen=True)
class Given:
    """What a rule looks at: one op, and what it is given.

    Attributes:
        op: itself.
        has: its attributes, defaults filled in.
        inputs: the values that it reads.
        tensors: role -> float32 array.
        maps: a value's name -> its expanded channel map, [C]. Asked for one at a time: a sum may read thousands.
        flag: says what a flag number means, for messages.
    """

    op: Op
    has: Attributes
    inputs: tuple[Value, ...]
    tensors: Mapping[str, np.ndarray]
    maps: Callable[[str], np.ndarray]
    flag: Callable[[int], str] = str

    def require(self, rule: bool | np.bool_, message: str) -> None:
        """InputError, one line, unless `rule` holds."""
        require(rule, self.op, message)

    def map(self, position: int = 0) -> np.ndarray:
        """The expanded channel map of an input, [C]."""
        return self.maps(self.inputs[position].name)

    def plane(self, position: int = 0) -> tuple[int, int, int]:
        """(C, H, W) of an input, which must be a plane."""
        value = self.inputs[position]
        self.require(len(value.shape) == 3, f"{value.name!r} has shape {value.shape}, must be (C, H, W)")
        return value.shape[0], value.shape[1], value.shape[2]

    def vector(self, position: int = 0) -> int:
        """F of an input, which must be a vector."""
        value = self.inputs[position]
        self.require(len(value.shape) == 1, f"{value.name!r} has shape {value.shape}, must be (F,)")
        return value.shape[0]

    def tensor(self, role: str) -> np.ndarray:
        """A tensor that the op must have."""
        self.require(role in self.tensors, f"needs a tensor for {role!r}")
        return self.tensors[role]

    def optional(self, role: str, shape: Shape) -> None:
        """A tensor that it may have must be of this shape."""
        if role in self.tensors:
            found = self.tensors[role].shape
            self.require(found == shape, f"{role} has shape {found}, must be {shape}")

    def ungated(self, position: int = 0) -> None:
        """No gate may close a channel of this input."""
        closed = (self.map(position) != OPEN).any()
        self.require(not closed, f"{self.inputs[position].name!r} must not be gated")


@dataclass
class Call:
    """What a NumPy definition looks at: one op, for one sample.

    Attributes:
        op, has: itself, and its attributes, defaults filled in.
        inputs: float64 arrays, of gates bool; None if a value is absent.
        opened: of its first input, [C] bool: what is open.
        opens: of its output, [C] bool.
        shape: of its output.
        tensors: role -> float64 array.
        threshold: a logit in place of every gate's own threshold, if there is one.
        macs: the multiply-adds that it counts.
    """

    op: Op
    has: Attributes
    inputs: tuple[Any, ...]
    opened: np.ndarray
    opens: np.ndarray
    shape: Shape
    tensors: Mapping[str, np.ndarray]
    threshold: float | None = None
    macs: int = 0

    @property
    def x(self) -> np.ndarray:
        """Its first input."""
        return self.inputs[0]

    def bias(self, channels: int) -> np.ndarray:
        """[C], zeros where it has none."""
        return self.tensors.get("bias", np.zeros(channels))


def column(per_channel: np.ndarray, array: np.ndarray) -> np.ndarray:
    """[C] shaped so that it meets the channels of `array` [C, ...]."""
    return per_channel.reshape(-1, *[1] * (array.ndim - 1))


# Rules for the channel map of an output: functions of `Given` and of that map, [C].


def match(given: Given, out: np.ndarray, wanted: np.ndarray) -> None:
    """InputError, with the first channel that differs, unless the output has the wanted map."""
    wrong = np.flatnonzero(out != wanted)
    if len(wrong):
        at = int(wrong[0])
        means = [given.flag(int(channels[at])) for channels in (out, wanted)]
        given.require(False, f"channel {at} of its output is {means[0]}, must be {means[1]}")


def keeps(given: Given, out: np.ndarray) -> None:
    """Each channel is closed by what closes it in the first input."""
    match(given, out, given.map())


def ungated(given: Given, out: np.ndarray) -> None:
    """No gate has a say, on either side."""
    for position in range(len(given.inputs)):
        given.ungated(position)
    opens(given, out)


def opens(given: Given, out: np.ndarray) -> None:
    """The output is always open; what is closed in the input counts as zero."""
    match(given, out, np.full(len(out), OPEN))


def free(given: Given, out: np.ndarray) -> None:
    """Any maps."""


def elements(given: Given, shape: Shape) -> int:
    """Work of an op that looks at each element once."""
    return prod(shape)


def no_shape(given: Given) -> None:
    """Of an op that has no output."""


def _never(call: Call) -> np.ndarray:
    raise AssertionError(f"op {call.op.name!r} computes nothing")


@dataclass(frozen=True)
class Room:
    """All of one kind of op.

    Attributes:
        kind: its name; the file's, too.
        shape: rule: the shape of the output; None if there is none.
        run: the NumPy definition; what a gate closes is set to zero behind it.
        channels: rule: refuses a channel map of the output that does not fit.
        attributes: name -> the value that holds where it is left out; its type is the type, and () any whole numbers.
        tensors: the roles of the tensors that it may carry.
        inputs: how many values it may read.
        reads_gate: the input that is a gate, if one is.
        writes: what kind of value it writes.
        work: its multiply-adds, or elements that it looks at, with all open: what a file may ask for is limited.
        stands_in: the input that an op hands on where it is skipped, if an op of this kind may have one; its output is
            present where this input is. Others have no output where they are skipped.
        skipped: NumPy definition of what it hands on.
        sums: whether absent inputs count as nothing, so long as one is always there.
        ends: whether it may end the sample; then its second input is the gate that lets the sample go on.
        decides: attributes that only say what is open; how long anything takes does not depend on them.
        plain: what is left of it in the network without gates: the op, its first input, or nothing; "boost": its first
            input if the second is what a gate decides by, else the op.
    """

    kind: str
    shape: Callable[[Given], Shape | None]
    run: Callable[[Call], np.ndarray] = _never
    channels: Callable[[Given, np.ndarray], None] = keeps
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    inputs: Collection[int] = (1,)
    reads_gate: int | None = None
    writes: Literal["tensor", "gate"] = "tensor"
    work: Callable[[Given, Shape], int] = elements
    skipped: Callable[[Call], np.ndarray] = _never
    stands_in: int | None = None
    sums: bool = False
    ends: bool = False
    decides: tuple[str, ...] = ()
    plain: Literal["op", "input", "nothing", "boost"] = "op"

    def stand_in(self, op: Op) -> str | None:
        """The value that an op of this kind hands on where it is skipped, if it has one."""
        return None if self.stands_in is None else next(iter(op.inputs[self.stands_in :]), None)

    def attributes_of(self, op: Op) -> Attributes:
        """All attributes of an op of this kind, defaults filled in. InputError names an unknown one, one of the wrong
        type or one that the engine cannot hold."""
        known = ", ".join(self.attributes) or "none"
        for key, content in op.attributes.items():
            require(key in self.attributes, op, f"unknown attribute {key!r}; known: {known}")
            default = self.attributes[key]
            require(_same_type(content, default), op, f"{key}={content!r} must be like {default!r}")
            _require_small(op, key, content)
        return {**self.attributes, **op.attributes}


def _require_small(op: Op, key: str, content: Attribute) -> None:
    """A stride may be large where there is one window alone; it must still fit the engine."""
    numbers = content if isinstance(content, tuple) else (content,)
    fits = all(abs(number) <= MAX_ATTRIBUTE for number in numbers if isinstance(number, int))
    require(fits, op, f"{key}={content!r} is beyond {MAX_ATTRIBUTE}")
    if isinstance(content, float):
        require(isfinite(content), op, f"{key} must be finite")
        require(abs(content) <= MAX_FLOAT, op, f"{key}={content!r} is beyond a float32")


def _same_type(content: Attribute, default: Attribute) -> bool:
    if isinstance(default, tuple):
        return isinstance(content, tuple) and len(content) == (len(default) or len(content))
    if isinstance(default, float):
        return isinstance(content, int | float) and not isinstance(content, bool)
    return type(content) is type(default)
