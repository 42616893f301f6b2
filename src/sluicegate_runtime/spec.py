"""The rules of a program: `verify_program` accepts exactly the programs that every executor can run, given the memory.

Rules for all ops are here: a value is written once, before it is read; channel maps use flags that are already decided;
and no op reads a value from a region that may have been skipped, unless its kind allows it. Rules for one kind of op
are in its room (`ops/`).

A region is a set of literals (gate, whether open). An op is run if all literals are true. They are its own `when` and
`unless`, and those under which the gates of `when` were made, because a gate that was not evaluated is closed. So
`unless` may only name gates that are always evaluated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from .channels import OPEN, flag_numbers
from .errors import InputError
from .ops import room_of
from .ops.frame.limits import MAX_CHANNELS, MAX_ELEMENTS, MAX_INPUTS, MAX_OPS, MAX_RUNS, MAX_SIDE, MAX_WORK
from .ops.frame.room import Given, Room, Shape, require
from .program import Op, Program, Value, first_flags

Region = frozenset[tuple[str, bool]]
ALWAYS: Region = frozenset()


def verify_program(program: Program, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises InputError, one line naming op, value and rule, unless every executor can run `program` with
    `tensors` (name -> float32 array)."""
    _require_limit("ops", len(program.ops), MAX_OPS)
    if len({op.name for op in program.ops}) != len(program.ops):
        raise InputError("program: two ops share a name")
    scope = _Scope(_index_values(program), tensors, first_flags(program.values))
    scope.regions[_input_value(program, scope).name] = ALWAYS
    for op in program.ops:
        _verify_op(op, scope)
    _verify_outputs(program, scope)
    _verify_labels(program, scope)


@dataclass
class _Scope:
    """What is known while the ops are walked in order."""

    values: Mapping[str, Value]
    tensors: Mapping[str, np.ndarray]
    numbers: Mapping[str, int]  # gate -> the number of its first flag
    regions: dict[str, Region] = field(default_factory=dict)  # a value that is written -> where it is present
    work: int = 0
    runs: int = 0

    def map(self, name: str) -> np.ndarray:
        """The expanded channel map of a value."""
        value = self.values[name]
        self.runs += len(value.channels)
        _require_limit("program: runs of channels that its ops read and write", self.runs, MAX_RUNS)
        return flag_numbers(value.channels, value.shape[0], self.numbers)

    def flag(self, number: int) -> str:
        """What a flag number says, in words."""
        if number == OPEN:
            return "always open"
        gate = max((gate for gate in self.numbers if self.numbers[gate] <= number), key=self.numbers.__getitem__)
        return f"closed by flag {number - self.numbers[gate]} of {gate!r}"


def _index_values(program: Program) -> dict[str, Value]:
    values = {value.name: value for value in program.values}
    if len(values) != len(program.values):
        raise InputError("program: two values share a name")
    for value in program.values:
        _verify_shape(value)
    for value in program.values:
        _verify_channels(value, values)
    return values


def _verify_shape(value: Value) -> None:
    where = f"value {value.name!r}"
    sides = value.shape[1:]
    if len(value.shape) not in (1, 3) or (value.kind == "gate" and sides):
        raise InputError(f"{where}: shape {value.shape} must be (C, H, W) or (F,); of a gate (G,)")
    if not 1 <= value.shape[0] <= MAX_CHANNELS or not all(1 <= side <= MAX_SIDE for side in sides):
        raise InputError(f"{where}: shape {value.shape} is outside 1..{MAX_CHANNELS} channels, 1..{MAX_SIDE} a side")
    _require_limit(f"{where}: elements", prod(value.shape), MAX_ELEMENTS)


def _verify_channels(value: Value, values: Mapping[str, Value]) -> None:
    """That runs name flags that there are, and add up."""
    if not value.channels:
        return
    where = f"value {value.name!r}"
    if value.kind == "gate":
        raise InputError(f"{where}: the flags of a gate cannot be gated themselves")
    for run in value.channels:
        flags = _flags(run.gate, values, where)
        last = run.first + (run.count - 1) // run.repeat if run.repeat > 0 else -1
        plain = run.gate is not None or (run.first, run.repeat) == (0, 1)
        if run.count < 1 or not 1 <= run.repeat <= MAX_CHANNELS or run.first < 0 or last >= flags or not plain:
            raise InputError(f"{where}: {run} does not fit the {flags} flags of its gate, or is empty")
    channels = sum(run.count for run in value.channels)
    if channels != value.shape[0]:
        raise InputError(f"{where}: its runs have {channels} channels, its shape {value.shape[0]}")


def _flags(gate: str | None, values: Mapping[str, Value], where: str) -> int:
    if gate is None:
        return MAX_CHANNELS
    if gate not in values or values[gate].kind != "gate":
        raise InputError(f"{where}: its channels name {gate!r}, which is no gate")
    return values[gate].shape[0]


def _input_value(program: Program, scope: _Scope) -> Value:
    value = scope.values.get(program.input)
    if value is None or value.kind != "tensor" or value.channels or len(value.shape) != 3:
        raise InputError(f"program: input {program.input!r} must be a tensor (C, H, W) without a gate")
    return value


def _verify_op(op: Op, scope: _Scope) -> None:
    room = room_of(op)
    _verify_inputs(op, room, scope)
    region = _region(op, room, scope)
    for name in op.inputs:
        inside = scope.regions[name] <= _seen(op, room, region)
        require(inside or room.sums, op, f"reads {name!r} out of a region that may be skipped")
    always = any(scope.regions[name] <= region for name in op.inputs)
    require(always or not room.sums, op, "adds only values that may have been skipped")
    given = _given(op, room, scope)
    shape = room.shape(given)
    _verify_write(op, room, given, shape, scope)
    if op.output is not None:
        # Where a value stands in for the op's own, the output is present wherever that is.
        stand_in = room.stand_in(op)
        scope.regions[op.output] = scope.regions[stand_in] if stand_in else region
    scope.work += room.work(given, shape) if shape else 0


def _verify_inputs(op: Op, room: Room, scope: _Scope) -> None:
    _require_count(op, room)
    for position, name in enumerate(op.inputs):
        require(name in scope.regions, op, f"reads {name!r} before it is written")
        kind = "gate" if position == room.reads_gate else "tensor"
        require(scope.values[name].kind == kind, op, f"{name!r} is of the wrong kind")
    stray = set(op.tensors) - set(room.tensors)
    require(not stray, op, f"has no use for tensor {min(stray, default='')!r}")


def _require_count(op: Op, room: Room) -> None:
    found = len(op.inputs)
    require(found <= MAX_INPUTS, op, f"reads {found} values, at most {MAX_INPUTS}")
    counts = " or ".join(map(str, room.inputs)) if len(room.inputs) < 3 else f"at least {min(room.inputs)}"
    require(found in room.inputs, op, f"{op.kind} reads {counts} values, not {found}")


def _region(op: Op, room: Room, scope: _Scope) -> Region:
    """The literals of an op."""
    names = (*op.when, *op.unless)
    require(len(set(names)) == len(names), op, "names a gate twice in when and unless")
    require(not (names and room.ends), op, f"{op.kind} cannot stand in a region that may be skipped")
    region = set()
    for name in names:
        gate = scope.values.get(name)
        known = gate is not None and gate.kind == "gate" and name in scope.regions and gate.shape == (1,)
        require(known, op, f"when, unless: {name!r} must be a written gate of one flag")
        always = name in op.when or not scope.regions[name]
        require(always, op, f"unless {name!r}: this gate lies in a region that may be skipped")
        region |= {(name, name in op.when), *scope.regions[name]}
    return frozenset(region)


def _seen(op: Op, room: Room, region: Region) -> Region:
    """The literals that hold where an op looks at what it reads: an exit does so where its gate is closed."""
    return frozenset({(op.inputs[1], False)}) if room.ends else region


def _given(op: Op, room: Room, scope: _Scope) -> Given:
    has = room.attributes_of(op)
    tensors = {role: _tensor(op, name, scope) for role, name in op.tensors.items()}
    inputs = tuple(scope.values[name] for name in op.inputs)
    return Given(op, has, inputs, tensors, scope.map, scope.flag)


def _tensor(op: Op, name: str, scope: _Scope) -> np.ndarray:
    require(name in scope.tensors, op, f"tensor {name!r} is not in the file")
    tensor = scope.tensors[name]
    require(tensor.dtype == np.float32, op, f"tensor {name!r} is {tensor.dtype}, must be float32")
    return tensor


def _verify_write(op: Op, room: Room, given: Given, shape: Shape | None, scope: _Scope) -> None:
    if shape is None:
        require(op.output is None, op, "has no output")
        return
    value = scope.values.get(op.output or "")
    if value is None:
        raise InputError(f"op {op.name!r}: output {op.output!r} is not among the values")
    require(value.name not in scope.regions, op, f"writes {value.name!r} a second time")
    require(value.kind == room.writes, op, f"{value.name!r} is of the wrong kind")
    require(value.shape == shape, op, f"output {value.name!r} has shape {value.shape}, the rule gives {shape}")
    for run in value.channels:
        known = run.gate is None or run.gate in scope.regions
        require(known, op, f"gate {run.gate!r} is used before it is written")
    room.channels(given, scope.map(value.name))


def _verify_outputs(program: Program, scope: _Scope) -> None:
    if not program.outputs:
        raise InputError("program: it has no output")
    _require_limit("program: outputs", len(program.outputs), MAX_INPUTS)
    for name, output in program.outputs.items():
        _verify_output(name, output, scope)
    _verify_exits(program, scope)
    unused = scope.values.keys() - scope.regions.keys()
    if unused:
        raise InputError(f"value {min(unused)!r}: no op writes it")
    _require_limit("program: multiply-adds", scope.work, MAX_WORK)


def _verify_output(name: str, output: str, scope: _Scope) -> None:
    if not name or not name.isprintable():
        raise InputError(f"program: output {name!r} must have a printable name")
    value = scope.values.get(output)
    if value is None or value.kind != "tensor" or output not in scope.regions or (scope.map(output) != OPEN).any():
        raise InputError(f"program: output {output!r} must be a computed tensor without a gate")
    if scope.regions[output]:
        raise InputError(f"program: output {output!r} lies in a region that may be skipped")


def _verify_exits(program: Program, scope: _Scope) -> None:
    exits = [op for op in program.ops if room_of(op).ends]
    if exits and len(program.outputs) > 1:
        raise InputError(f"program: it has {len(program.outputs)} outputs; one with an exit has one")
    wanted = scope.values[next(iter(program.outputs.values()))].shape
    for op in exits:
        shape = scope.values[op.inputs[0]].shape
        require(shape == wanted, op, f"ends with shape {shape}, the program with {wanted}")


def _verify_labels(program: Program, scope: _Scope) -> None:
    """What travels with a program for those who feed it images and read its answers."""
    if program.preprocessing is not None:
        _verify_preprocessing(program, scope)
    shapes = [scope.values[name].shape for name in program.outputs.values()]
    names = len(program.classes)
    if names and (len(shapes) != 1 or shapes[0][0] != names or len(shapes[0]) not in (1, 3)):
        raise InputError(f"program: {names} classes, but outputs of shapes {_listed(shapes)}")


def _verify_preprocessing(program: Program, scope: _Scope) -> None:
    how, channels = program.preprocessing, scope.values[program.input].shape[0]
    assert how is not None
    if len(how.mean) not in (0, channels) or len(how.std) != len(how.mean) or not all(std > 0 for std in how.std):
        raise InputError(f"preprocessing: mean {how.mean}, std {how.std} must have {channels} figures, std above 0")
    for name in ("resize", "crop"):
        side = getattr(how, name)
        if side is not None and (type(side) is not int or side < 1):
            raise InputError(f"preprocessing: {name} {side} must be a number of pixels")
    if (how.resize is None) != (how.crop is None) or (how.resize and how.crop and how.crop > how.resize):
        raise InputError(f"preprocessing: crop {how.crop} must be at most resize {how.resize}; both or none are given")


def _listed(shapes: Iterable[Shape]) -> str:
    return ", ".join(map(str, list(shapes)[:3]))


def _require_limit(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise InputError(f"{what}: {count} is more than {limit}")
