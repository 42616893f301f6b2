"""A program: a gated network in the form in which it is run.

A program is a list of ops over named values whose shapes are static except for the batch. Two kinds of value:

- a **tensor** of shape `(C, H, W)` or `(F,)`. Its channel map says which flag of which gate closes a channel
  (`channels.py`). A closed channel counts as zero, and an executor may skip it. This is how gates save time: an op
  that writes such a value computes only the open channels, and an op that reads it reads only the open channels.
- a **gate** of shape `(G,)`: G flags per sample.

An op runs if all gates of `Op.when` are open and all of `Op.unless` are closed; each is a gate with one flag. A gate
that was not evaluated is closed. If an op is not run, its output is absent. Only `add` may read an absent value, which
adds nothing; a skipped `conv` with a residual passes on the residual.

An exit's gate is open if the image goes on. So an open gate means more work, for every kind of gate.

`spec.py` holds the rules, `ops/` a room for each kind of op, `reference.py` the walk that gives a program its meaning.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from .channels import ChannelRun, flag_numbers
from .errors import InputError, one_line

Attribute = int | float | bool | str | tuple[int, ...]

_MOST = 3.4028235e38  # of a float32


@dataclass(frozen=True)
class Value:
    """One value: a tensor of shape (C, H, W) or (F,), or a gate of shape (G,); the batch is left out. `channels`: what
    closes the channels of a tensor; empty where nothing does."""

    name: str
    shape: tuple[int, ...]
    kind: Literal["tensor", "gate"] = "tensor"
    channels: tuple[ChannelRun, ...] = ()


@dataclass(frozen=True)
class Op:
    """One op. `tensors` maps a role ("weight", "bias") to the name of a stored tensor. It runs where all gates of
    `when` are open and all of `unless` are closed."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str | None
    tensors: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From an image to the program's input: the shorter side is resized to `resize` and the centre is cropped to
    `crop`, both in pixels; without them only the excess of a different aspect ratio is cut off. Then come pixels in
    [0, 1] minus `mean`, over `std` (one number for each channel). `preprocess.py` defines it exactly."""

    resize: int | None = None
    crop: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Program:
    """Ops in the order in which they run, over `values`.

    Attributes:
        input: the value that the images become.
        outputs: what the network calls its outputs -> the value; {"output": ...} where there is one without a name.
        values: in the order in which flags are numbered.
        ops: in the order in which they run.
        preprocessing: from an image file to the input; None if unknown.
        classes: names of the scores, where the one output is a vector of them, or a map.
    """

    input: str
    outputs: Mapping[str, str]
    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one of its values."""
        return next(value.shape for value in self.values if value.name == name)

    @property
    def gates(self) -> dict[str, int]:
        """Gate -> number of flags, in the order of the values."""
        return {value.name: value.shape[0] for value in self.values if value.kind == "gate"}

    def to_json(self) -> str:
        """The program as JSON text; defaults are left out."""
        return json.dumps(_plain(self), allow_nan=False, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Program":
        """The program in `text`. InputError if it is not JSON, or not of a program's form; what the
        program means is checked by `spec.verify_program`, not here."""
        try:
            document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as error:
            raise InputError(f"program: not valid JSON: {one_line(error)}") from None
        return _program(document)


def channel_flags(values: Program | Iterable[Value], name: str) -> np.ndarray:
    """The expanded channel map of a value.

    Args:
        values: a program, or its values in order.
        name: of a tensor among them.

    Returns:
        [C] int64: the number of the flag that closes a channel, counted through all gates in the order of the values;
        -1 where it is always open.

        channel_flags((Value("g", (2,), "gate"), Value("y", (3,), channels=(ChannelRun(3, "g", 0, 2),))), "y")
        # array([0, 0, 1])
    """
    values = values.values if isinstance(values, Program) else tuple(values)
    value = next(value for value in values if value.name == name)
    return flag_numbers(value.channels, value.shape[0], first_flags(values))


def first_flags(values: Iterable[Value]) -> dict[str, int]:
    """Gate -> the number of its first flag."""
    gates = [value for value in values if value.kind == "gate"]
    ends = accumulate(value.shape[0] for value in gates)
    return {gate.name: end - gate.shape[0] for gate, end in zip(gates, ends, strict=True)}


def _plain(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, nested dataclasses likewise."""
    plain = {}
    for item in dataclasses.fields(record):
        content = getattr(record, item.name)
        if content == item.default or (content == {} and item.default_factory is dict):
            continue
        plain[item.name] = _plain_content(content)
    return plain


def _plain_content(content: Any) -> Any:
    if isinstance(content, ChannelRun):
        return [content.count] if content.gate is None else list(dataclasses.astuple(content))
    if dataclasses.is_dataclass(content):
        return _plain(content)
    if isinstance(content, tuple):
        return [_plain_content(item) for item in content]
    return dict(content) if isinstance(content, Mapping) else content


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return keys


# Reading is strict: a function for each field gives an error with its name if it is missing or of another type.


def _program(document: Any) -> Program:
    keys = _fields(document, "program", Program)
    return Program(
        input=_text(keys, "input", "program"),
        outputs=_names(keys, "outputs", "program"),
        values=tuple(_value(item) for item in _list(keys, "values", "program")),
        ops=tuple(_op(item) for item in _list(keys, "ops", "program")),
        preprocessing=_preprocessing(keys["preprocessing"]) if "preprocessing" in keys else None,
        classes=_texts(keys, "classes", "program"),
    )


def _value(document: Any) -> Value:
    keys = _fields(document, "value", Value)
    name = _text(keys, "name", "value")
    kind = keys.get("kind", "tensor")
    if kind not in ("tensor", "gate"):
        raise InputError(f"value {name!r}: kind {kind!r} is neither 'tensor' nor 'gate'")
    where = f"value {name!r}"
    runs = tuple(_run(item, where) for item in _list(keys, "channels", where))
    return Value(name, _ints(keys, "shape", where), kind, runs)


def _run(document: Any, where: str) -> ChannelRun:
    """[count], or [count, gate, first, repeat]."""
    if isinstance(document, list) and len(document) == 1 and _is_int(document[0]):
        return ChannelRun(document[0])
    if not isinstance(document, list) or len(document) != 4:
        raise InputError(f"{where}: a run of channels must be [count] or [count, gate, first, repeat]")
    count, gate, first, repeat = document
    if not (_is_int(count) and isinstance(gate, str) and _is_int(first) and _is_int(repeat)):
        raise InputError(f"{where}: a run of channels must be [count] or [count, gate, first, repeat]")
    return ChannelRun(count, gate, first, repeat)


def _op(document: Any) -> Op:
    keys = _fields(document, "op", Op)
    name = _text(keys, "name", "op")
    where = f"op {name!r}"
    return Op(
        kind=_text(keys, "kind", where),
        name=name,
        inputs=_texts(keys, "inputs", where),
        output=_optional_text(keys, "output", where),
        tensors=_names(keys, "tensors", where),
        attributes=_attributes(keys.get("attributes", {}), where),
        when=_texts(keys, "when", where),
        unless=_texts(keys, "unless", where),
    )


def _preprocessing(document: Any) -> Preprocessing:
    keys = _fields(document, "preprocessing", Preprocessing)
    sizes = {}
    for key in ("resize", "crop"):
        size = keys.get(key)
        if size is not None and not (_is_int(size) and 0 < size <= 65536):
            raise InputError(f"preprocessing: {key} must be a whole number of pixels from 1 to 65536")
        sizes[key] = size
    return Preprocessing(mean=_floats(keys, "mean"), std=_floats(keys, "std"), **sizes)


def _attributes(document: Any, where: str) -> dict[str, Attribute]:
    if not isinstance(document, dict):
        raise InputError(f"{where}: attributes must be an object")
    attributes: dict[str, Attribute] = {}
    for key, content in document.items():
        if isinstance(content, list):
            attributes[key] = _ints(document, key, where)
        elif isinstance(content, str | int | float):
            attributes[key] = content
        else:
            raise InputError(f"{where}: attribute {key!r} must be a number, a text or a list of whole numbers")
    return attributes


def _fields(document: Any, where: str, of: type) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InputError(f"{where}: must be an object, not {type(document).__name__}")
    unknown = set(document) - {item.name for item in dataclasses.fields(of)}
    if unknown:
        raise InputError(f"{where}: unknown field {min(unknown)!r}")
    return document


def _text(keys: dict[str, Any], key: str, where: str) -> str:
    text = keys.get(key)
    if not isinstance(text, str) or not text or not text.isprintable():  # half a surrogate pair would not reach C++
        raise InputError(f"{where}: {key} must be a text, printable and not empty")
    return text


def _optional_text(keys: dict[str, Any], key: str, where: str) -> str | None:
    return None if keys.get(key) is None else _text(keys, key, where)


def _list(keys: dict[str, Any], key: str, where: str) -> list[Any]:
    items = keys.get(key, [])
    if not isinstance(items, list):
        raise InputError(f"{where}: {key} must be a list")
    return items


def _texts(keys: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    items = _list(keys, key, where)
    if not all(isinstance(item, str) for item in items):
        raise InputError(f"{where}: {key} must be a list of texts")
    return tuple(items)


def _names(keys: dict[str, Any], key: str, where: str) -> dict[str, str]:
    names = keys.get(key, {})
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{where}: {key} must be an object of texts")
    return names


def _ints(keys: dict[str, Any], key: str, where: str) -> tuple[int, ...]:
    items = _list(keys, key, where)
    if not all(_is_int(item) for item in items):
        raise InputError(f"{where}: {key} must be a list of whole numbers")
    return tuple(items)


def _floats(keys: dict[str, Any], key: str) -> tuple[float, ...]:
    items = _list(keys, key, "preprocessing")
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):
        raise InputError(f"preprocessing: {key} must be a list of numbers")
    if not all(abs(item) <= _MOST for item in items):
        raise InputError(f"preprocessing: {key} must be a list of numbers that a float32 can hold")
    return tuple(float(item) for item in items)


def _is_int(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
