"""The rules of a program: `verify_program` accepts exactly what every executor can run, if it has the memory.

One rule per op kind says which shape its output has; around it stand the rules that hold for every op: a
value is written once and before it is read, gates fit the channels that they close, nothing looks into a
region that a layer gate may have skipped except an `add` (or the residual of a `conv`, which is an add).

C channels, H height, W width, F features, G gates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .errors import InputError
from .program import Attribute, Op, Program, Value

ACTIVATIONS = ("none", "relu", "relu6", "silu", "hardswish", "sigmoid")

# What each kind of op may carry, with the value that holds where it is left out. The type of the default is
# the type.
ATTRIBUTES: dict[str, dict[str, Attribute]] = {
    "conv": {
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "activation": "none",
        "counted": True,
    },
    "linear": {"activation": "none"},
    "max_pool": {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil": False},
    "avg_pool": {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "count_padding": True},
    "global_pool": {"counted": False, "absolute": False},
    "add": {"activation": "none"},
    "concat": {},
    "activation": {"function": "relu"},
    "resize": {"size": (1, 1), "align_corners": False},
    "subsample": {"stride": 2, "before": 0, "after": 0},
    "flatten": {},
    "select": {},
    "lstm": {},
    "slice": {"size": 1},
    "gate": {"threshold": 0.0, "top_k": 0},
    "exit": {},
    "constant": {},
    "scale": {},
}

# The roles of the tensors that a kind of op may carry; the others carry none.
TENSORS: dict[str, tuple[str, ...]] = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "lstm": ("weight", "bias"),
    "constant": ("bias",),
}

# Limits that keep a hostile file from asking for unbounded memory or time; real networks stay far below.
MAX_OPS = 10_000
MAX_SIDE = 16_384  # of planes, and of what a kernel reaches over
MAX_STRIDE = 4 * MAX_SIDE  # a padded side is less than 3
MAX_CHANNELS = 1 << 20
MAX_ELEMENTS = 1 << 26  # of one value, per sample
MAX_ATTRIBUTE = (1 << 31) - 1  # of whole numbers: the engine keeps them in 32 bits
MAX_INPUTS = 4096  # of a sum or a concatenation
MAX_WORK = 1 << 41  # multiply-adds, elements of windows and summands of one sample

Shape = tuple[int, ...]
Attributes = Mapping[str, Any]  # complete, and each of the type of its default


def attributes_of(op: Op) -> Attributes:
    """All attributes of `op`, defaults filled in. InputError names an unknown one or one of the wrong
    type."""
    defaults = ATTRIBUTES[op.kind]
    for key, content in op.attributes.items():
        _require(key in defaults, op, f"unknown attribute {key!r}; known: {', '.join(defaults) or 'none'}")
        _require(_same_type(content, defaults[key]), op, f"{key}={content!r} must be like {defaults[key]!r}")
        _require(_is_small(content), op, f"{key}={content!r} is beyond {MAX_ATTRIBUTE}")
    return {**defaults, **op.attributes}


def verify_program(program: Program, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises InputError, one line naming op, value and rule, unless every executor can run `program` with
    `tensors` (name -> float32 array)."""
    _require_limit("ops", len(program.ops), MAX_OPS)
    scope = _Scope(_index_values(program), tensors)
    scope.define(_input_value(program, scope), made_under=())
    for op in program.ops:
        _verify_op(op, scope)
    _verify_output(program, scope)
    _verify_labels(program, scope)


@dataclass(frozen=True)
class _Scope:
    """What is known while the ops are walked in order."""

    values: Mapping[str, Value]
    tensors: Mapping[str, np.ndarray]
    # value -> the layer gates under which it was made
    defined: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def define(self, value: Value, made_under: tuple[str, ...]) -> None:
        self.defined[value.name] = made_under

    def tensor(self, op: Op, role: str) -> np.ndarray:
        name = op.tensors.get(role)
        _require(name is not None, op, f"needs a tensor for {role!r}")
        _require(name in self.tensors, op, f"tensor {name!r} is not in the file")
        tensor = self.tensors[str(name)]
        _require(tensor.dtype == np.float32, op, f"tensor {name!r} is {tensor.dtype}, must be float32")
        return tensor


def _index_values(program: Program) -> dict[str, Value]:
    values = {value.name: value for value in program.values}
    if len(values) != len(program.values):
        raise InputError("program: two values share a name")
    for value in program.values:
        _verify_shape(value)
    for value in program.values:
        _verify_gate(value, values)
    return values


def _verify_shape(value: Value) -> None:
    where = f"value {value.name!r}"
    sides = value.shape[1:]
    if len(value.shape) not in (1, 3) or (value.kind == "gate" and sides):
        raise InputError(f"{where}: shape {value.shape} must be (C, H, W) or (F,); of a gate (G,)")
    if not 1 <= value.shape[0] <= MAX_CHANNELS or not all(1 <= side <= MAX_SIDE for side in sides):
        raise InputError(f"{where}: shape {value.shape} is outside 1..{MAX_CHANNELS} channels, 1..{MAX_SIDE} a side")
    _require_limit(f"{where}: elements", prod(value.shape), MAX_ELEMENTS)


def _verify_gate(value: Value, values: Mapping[str, Value]) -> None:
    """That a gate fits the value whose channels it closes."""
    where = f"value {value.name!r}"
    if value.gate is None:
        return
    gate = values.get(value.gate)
    if value.kind == "gate" or gate is None or gate.kind != "gate":
        raise InputError(f"{where}: gate {value.gate!r} is not a gate of a tensor")
    if value.shape[0] % gate.shape[0]:
        raise InputError(f"{where}: {value.shape[0]} channels are no multiple of the {gate.shape[0]} flags of its gate")


def _input_value(program: Program, scope: _Scope) -> Value:
    value = scope.values.get(program.input)
    if value is None or value.kind != "tensor" or value.gate is not None or len(value.shape) != 3:
        raise InputError(f"program: input {program.input!r} must be a tensor (C, H, W) without a gate")
    return value


def _verify_output(program: Program, scope: _Scope) -> None:
    value = scope.values.get(program.output)
    if value is None or value.kind != "tensor" or value.gate is not None or program.output not in scope.defined:
        raise InputError(f"program: output {program.output!r} must be a computed tensor without a gate")
    if scope.defined[program.output]:
        raise InputError(f"program: output {program.output!r} lies in a region that may be skipped")
    for op in program.ops:
        if op.kind == "exit":
            shape = scope.values[op.inputs[0]].shape
            _require(shape == value.shape, op, f"ends with shape {shape}, the program with {value.shape}")
    unused = set(scope.values) - set(scope.defined)
    if unused:
        raise InputError(f"value {min(unused)!r}: no op writes it")
    work = sum(_work(op, scope.values, scope.tensors) for op in program.ops)
    _require_limit("program: multiply-adds", work, MAX_WORK)


def _verify_labels(program: Program, scope: _Scope) -> None:
    """What travels with a program for those who feed it images and read its answers."""
    how, channels = program.preprocessing, scope.values[program.input].shape[0]
    if len(how.mean) not in (0, channels) or len(how.std) != len(how.mean) or not all(std > 0 for std in how.std):
        raise InputError(f"preprocessing: mean {how.mean}, std {how.std} must have {channels} figures, std above 0")
    if (how.resize is None) != (how.crop is None) or (how.resize and how.crop and how.crop > how.resize):
        raise InputError(f"preprocessing: crop {how.crop} must be at most resize {how.resize}; both or none are given")
    outputs = scope.values[program.output].shape[0]
    if len(program.classes) not in (0, outputs):
        raise InputError(f"program: {len(program.classes)} classes, but {outputs} outputs")


def _verify_op(op: Op, scope: _Scope) -> None:
    _require(op.kind in ATTRIBUTES, op, f"unknown kind {op.kind!r}; known: {', '.join(ATTRIBUTES)}")
    _require(len(op.inputs) <= MAX_INPUTS, op, f"reads {len(op.inputs)} values, at most {MAX_INPUTS}")
    made_under = _regions(op, scope)
    for position, name in enumerate(op.inputs):
        _require(name in scope.defined, op, f"reads {name!r} before it is written")
        crosses = not set(scope.defined[name]) <= set(made_under)
        _require(not crosses or op.kind == "add", op, f"reads {name!r} out of a region that may be skipped")
        _require(scope.values[name].kind == _input_kind(op, position), op, f"{name!r} is of the wrong kind")
    stray = set(op.tensors) - set(TENSORS.get(op.kind, ()))
    _require(not stray, op, f"has no use for tensor {min(stray, default='')!r}")
    shape = RULES[op.kind](op, attributes_of(op), [scope.values[name] for name in op.inputs], scope)
    _verify_write(op, shape, made_under, scope)


def _verify_write(op: Op, shape: Shape | None, made_under: tuple[str, ...], scope: _Scope) -> None:
    if shape is None:
        _require(op.output is None, op, "has no output")
        return
    value = scope.values.get(op.output or "")
    if value is None:
        raise InputError(f"op {op.name!r}: output {op.output!r} is not among the values")
    _require(value.name not in scope.defined, op, f"writes {value.name!r} a second time")
    _require(value.kind == ("gate" if op.kind == "gate" else "tensor"), op, f"{value.name!r} is of the wrong kind")
    _require(value.shape == shape, op, f"output {value.name!r} has shape {value.shape}, the rule gives {shape}")
    _require(
        value.gate is None or value.gate in scope.defined,
        op,
        f"gate {value.gate!r} is used before it is written",
    )
    # A residual makes the value present even where the op itself was skipped.
    present = op.kind == "conv" and len(op.inputs) == 2
    scope.define(value, scope.defined[op.inputs[1]] if present else made_under)


def _regions(op: Op, scope: _Scope) -> tuple[str, ...]:
    """The layer gates that must be open for `op` to run: its own and those around the gate's own op."""
    if op.when is None:
        return ()
    gate = scope.values.get(op.when)
    known = gate is not None and gate.kind == "gate" and gate.name in scope.defined
    _require(
        known and gate is not None and gate.shape == (1,),
        op,
        f"when {op.when!r} must be a written gate of one flag",
    )
    _require(op.kind not in ("exit", "add"), op, f"{op.kind} cannot stand in a region that may be skipped")
    return (*scope.defined[op.when], op.when)


def _input_kind(op: Op, position: int) -> str:
    return "gate" if position == 1 and op.kind in ("select", "exit") else "tensor"


# One rule per kind: (op, attributes, inputs, scope) -> shape of the output; None where there is none.


def _conv(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1, 2)
    channels, height, width = _plane(op, inputs[0])
    weight, groups = scope.tensor(op, "weight"), has["groups"]
    _require_activation(op, has["activation"])
    _require(
        weight.ndim == 4 and min(weight.shape) > 0,
        op,
        f"weight {weight.shape} must be [out, in / groups, kh, kw]",
    )
    out, per_group, *kernel = weight.shape
    _require(
        groups > 0 and channels == per_group * groups,
        op,
        f"weight {weight.shape} x {groups} groups, {channels} in",
    )
    _require(out % groups == 0, op, f"{out} output channels are no multiple of {groups} groups")
    _require(
        has["counted"] or weight.shape == (groups, 1, 1, 1),
        op,
        "only a norm, one weight a channel, may be left out of the count",
    )
    _require_bias(op, out, scope)
    stride, padding, dilation = has["stride"], has["padding"], has["dilation"]
    _require(
        min(stride) > 0 and min(dilation) > 0 and min(padding) >= 0,
        op,
        "stride and dilation from 1, padding from 0",
    )
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sides = _windows(op, (height, width), extent, stride, padding)
    if len(inputs) == 2:
        _require_residual(op, inputs[1], (out, *sides), scope)
    return (out, *sides)


def _linear(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    weight = scope.tensor(op, "weight")
    _require_activation(op, has["activation"])
    matches = weight.ndim == 2 and inputs[0].shape == (weight.shape[-1],)
    _require(matches, op, f"weight {weight.shape} must be [out, in] for an input of shape {inputs[0].shape}")
    _require_bias(op, weight.shape[0], scope)
    _require_ungated_output(op, scope)
    return (weight.shape[0],)


def _pool(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    channels, height, width = _plane(op, inputs[0])
    kernel, stride, padding = has["kernel"], has["stride"], has["padding"]
    _require(
        min(kernel) > 0 and min(stride) > 0 and min(padding) >= 0,
        op,
        "kernel and stride from 1, padding from 0",
    )
    _require(
        all(2 * p <= k for p, k in zip(padding, kernel, strict=True)),
        op,
        "padding is at most half the kernel",
    )
    _require_same_gate(op, inputs[0], scope)
    return (channels, *_windows(op, (height, width), kernel, stride, padding, ceil=bool(has.get("ceil"))))


def _global_pool(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    _require_same_gate(op, inputs[0], scope)
    return _plane(op, inputs[0])[:1]


def _add(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require(len(inputs) >= 2, op, f"adds {len(inputs)} values, needs at least 2")
    _require_activation(op, has["activation"])
    _require(len({value.shape for value in inputs}) == 1, op, "adds values of different shapes")
    always = [value for value in inputs if not scope.defined[value.name]]
    _require(len(always) > 0, op, "adds only values that may have been skipped")
    gate = _output(op, scope).gate
    _require(
        gate is None or {value.gate for value in inputs} == {gate},
        op,
        "a gated sum needs the same gate throughout",
    )
    return inputs[0].shape


def _concat(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require(len(inputs) >= 1, op, "needs an input")
    planes = [_plane(op, value) for value in inputs]
    _require(len({plane[1:] for plane in planes}) == 1, op, "joins planes of different sizes")
    _require_ungated_output(op, scope)
    return (sum(plane[0] for plane in planes), *planes[0][1:])


def _activation(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    _require_activation(op, has["function"])
    _require_same_gate(op, inputs[0], scope)
    return inputs[0].shape


def _resize(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    size = has["size"]
    _require(all(1 <= side <= MAX_SIDE for side in size), op, f"size {size} is outside 1..{MAX_SIDE}")
    _require_same_gate(op, inputs[0], scope)
    return (_plane(op, inputs[0])[0], *size)


def _subsample(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    channels, height, width = _plane(op, inputs[0])
    stride, before, after = has["stride"], has["before"], has["after"]
    _require(0 < stride <= MAX_STRIDE, op, f"stride {stride} is outside 1..{MAX_STRIDE}")
    _require(min(before, after) >= 0, op, f"before={before}, after={after}: added channels from 0")
    _require(inputs[0].gate is None, op, f"{inputs[0].name!r} must not be gated")
    _require_ungated_output(op, scope)
    return (before + channels + after, -(-height // stride), -(-width // stride))


def _flatten(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    _require(inputs[0].gate is None, op, f"{inputs[0].name!r} must not be gated")
    _require_ungated_output(op, scope)
    return (prod(inputs[0].shape),)


def _select(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 2)
    _require(inputs[0].gate is None, op, f"{inputs[0].name!r} is gated already")
    _require(_output(op, scope).gate == inputs[1].name, op, f"its output must name gate {inputs[1].name!r}")
    return inputs[0].shape


def _lstm(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1, 2)
    weight = scope.tensor(op, "weight")
    hidden = len(weight) // 4 if weight.ndim == 2 else 0
    vectors = all(len(value.shape) == 1 and value.gate is None for value in inputs)
    _require(vectors, op, "features and state must be vectors without a gate")
    columns = inputs[0].shape[0] + (hidden if len(inputs) == 2 else 0)
    matches = hidden > 0 and weight.shape == (4 * hidden, columns)
    _require(matches, op, f"weight {weight.shape} must be [4 * hidden, in], or [4 * hidden, in + hidden] with a state")
    state = inputs[-1].shape if len(inputs) == 2 else (2 * hidden,)
    _require(state == (2 * hidden,), op, f"state has shape {state}, must be ({2 * hidden},)")
    _require_bias(op, 4 * hidden, scope)
    _require_ungated_output(op, scope)
    return (2 * hidden,)


def _slice(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    _require(len(inputs[0].shape) == 1 and inputs[0].gate is None, op, "reads a vector without a gate")
    features, size = inputs[0].shape[0], has["size"]
    _require(1 <= size <= features, op, f"size {size} is outside 1..{features}")
    _require_ungated_output(op, scope)
    return (size,)


def _gate(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 1)
    _require(len(inputs[0].shape) == 1 and inputs[0].gate is None, op, "logits must be (G,) without a gate")
    _require(np.isfinite(has["threshold"]), op, "threshold must be finite")
    _require(0 <= has["top_k"] <= inputs[0].shape[0], op, f"top_k {has['top_k']} is outside 0..{inputs[0].shape[0]}")
    return inputs[0].shape


def _exit(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> None:
    _require_inputs(op, inputs, 2)
    _require(inputs[0].gate is None, op, f"{inputs[0].name!r} must not be gated")
    _require(inputs[1].shape == (1,), op, f"gate {inputs[1].name!r} must have one flag")


def _constant(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 0)
    bias = scope.tensor(op, "bias")
    _require(bias.ndim == 1, op, f"bias has shape {bias.shape}, must be (F,)")
    _require_ungated_output(op, scope)
    return bias.shape


def _scale(op: Op, has: Attributes, inputs: list[Value], scope: _Scope) -> Shape:
    _require_inputs(op, inputs, 2)
    factors = inputs[1]
    _require(len(factors.shape) == 1 and factors.gate is None, op, f"{factors.name!r} must be (G,) without a gate")
    fits = inputs[0].shape[0] % factors.shape[0] == 0
    _require(fits, op, f"{inputs[0].shape[0]} channels are no multiple of {factors.shape[0]} factors")
    _require_same_gate(op, inputs[0], scope)
    return inputs[0].shape


Rule = Callable[[Op, Attributes, list[Value], _Scope], Shape | None]
RULES: dict[str, Rule] = {
    "conv": _conv,
    "linear": _linear,
    "max_pool": _pool,
    "avg_pool": _pool,
    "global_pool": _global_pool,
    "add": _add,
    "concat": _concat,
    "activation": _activation,
    "resize": _resize,
    "subsample": _subsample,
    "flatten": _flatten,
    "select": _select,
    "lstm": _lstm,
    "slice": _slice,
    "gate": _gate,
    "exit": _exit,
    "constant": _constant,
    "scale": _scale,
}


def _windows(
    op: Op,
    sides: tuple[int, int],
    extent: list[int] | tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil: bool = False,
) -> tuple[int, int]:
    """How many windows of `extent` fit along each side; with `ceil` also a last one that starts inside."""
    _require(max(extent) <= MAX_SIDE, op, f"kernel reaches over {max(extent)} pixels, at most {MAX_SIDE}")
    _require(max(stride) <= MAX_STRIDE, op, f"stride is {max(stride)}, at most {MAX_STRIDE}")
    counts = []
    for side, reach, step, pad in zip(sides, extent, stride, padding, strict=True):
        _require(pad < reach, op, f"padding {pad} must be less than the kernel's reach {reach}")
        room = side + 2 * pad - reach
        _require(room >= 0, op, f"the kernel's reach {reach} exceeds the padded side {side + 2 * pad}")
        count = room // step + 1
        if ceil and room % step and count * step < side + pad:
            count += 1
        counts.append(count)
    return counts[0], counts[1]


def _work(op: Op, values: Mapping[str, Value], tensors: Mapping[str, np.ndarray]) -> int:
    if "weight" in TENSORS.get(op.kind, ()):
        weight = tensors[op.tensors["weight"]]
        return prod(weight.shape) * prod(values[str(op.output)].shape[1:])
    if op.kind in ("max_pool", "avg_pool"):
        return prod(values[str(op.output)].shape) * prod(attributes_of(op)["kernel"])
    if op.kind == "add":
        return len(op.inputs) * prod(values[str(op.output)].shape)
    return 0


def _require(rule: bool | np.bool_, op: Op, message: str) -> None:
    if not rule:
        raise InputError(f"op {op.name!r}: {message}")


def _require_limit(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise InputError(f"{what}: {count} is more than {limit}")


def _require_inputs(op: Op, inputs: list[Value], *counts: int) -> None:
    _require(
        len(inputs) in counts,
        op,
        f"{op.kind} reads {' or '.join(map(str, counts))} values, not {len(inputs)}",
    )


def _require_activation(op: Op, name: Attribute) -> None:
    _require(name in ACTIVATIONS, op, f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")


def _require_bias(op: Op, out: int, scope: _Scope) -> None:
    if "bias" in op.tensors:
        bias = scope.tensor(op, "bias")
        _require(bias.shape == (out,), op, f"bias has shape {bias.shape}, must be ({out},)")


def _require_residual(op: Op, residual: Value, shape: Shape, scope: _Scope) -> None:
    _require(residual.shape == shape, op, f"residual {residual.name!r} has shape {residual.shape}, must be {shape}")
    _require(residual.gate == _output(op, scope).gate, op, "residual and output must name the same gate")
    _require(op.when is None or residual.gate is None, op, "a region's last op cannot write a gated value")


def _require_same_gate(op: Op, value: Value, scope: _Scope) -> None:
    _require(
        _output(op, scope).gate == value.gate,
        op,
        f"input and output must name the same gate, here {value.gate!r}",
    )


def _require_ungated_output(op: Op, scope: _Scope) -> None:
    _require(_output(op, scope).gate is None, op, f"{op.kind} writes no gated value")


def _output(op: Op, scope: _Scope) -> Value:
    value = scope.values.get(op.output or "")
    if value is None:
        raise InputError(f"op {op.name!r}: output {op.output!r} is not among the values")
    return value


def _plane(op: Op, value: Value) -> tuple[int, int, int]:
    _require(len(value.shape) == 3, op, f"{value.name!r} has shape {value.shape}, must be (C, H, W)")
    return value.shape[0], value.shape[1], value.shape[2]


def _is_small(content: Attribute) -> bool:
    """Whether its whole numbers fit the engine; a stride may be large where there is one window alone."""
    numbers = content if isinstance(content, tuple) else (content,)
    return all(abs(number) <= MAX_ATTRIBUTE for number in numbers if isinstance(number, int))


def _same_type(content: Attribute, default: Attribute) -> bool:
    if isinstance(default, tuple):
        return isinstance(content, tuple) and len(content) == len(default)
    if isinstance(default, float):
        return isinstance(content, int | float) and not isinstance(content, bool)
    return type(content) is type(default)
