"""What the engine is given, as the bytes that libFuzzer changes; csrc/fuzz/case.h says how they are laid out."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WORDS = re.findall(
    r"^SLUICE_WORD\((\w+)\)", (Path(__file__).parents[2] / "csrc/fuzz/words.inc").read_text(), re.MULTILINE
)
PLAIN = 240  # bytes from which on a number is told by more: one below zero, then of two, four and eight bytes
NEGATIVE, ODD = PLAIN, PLAIN + 4
FORMATS = {PLAIN + 1: "<H", PLAIN + 2: "<i", PLAIN + 3: "<q"}
ODD_ONES = (-(2**31), 2**31 - 1, 2**26, 2**20, 2**30, 65536, 65535, 16384, 2**32, 4096, 1024, 255)
MOST_TENSOR_FLOATS = 1 << 16
WHOLE = 223  # what is drawn from this byte is whole: numbers of channels


@dataclass(frozen=True)
class Case:
    """A program as the engine's lists, and how to run it.

    Attributes:
        ways, threshold, images: a byte each.
        values, ops, input, outputs: as `Engine` takes them, but for tensors: they are (shape, what to draw them from).
    """

    ways: int
    threshold: int
    images: int
    values: list[Any]
    ops: list[Any]
    input: int
    outputs: list[int]

    @property
    def threads(self) -> int:
        return 3 if self.ways % 4 == 3 else 1

    @property
    def engine_arguments(self) -> tuple[Any, ...]:
        """What `Engine` is made of; drawn tensors are not those that the fuzzer draws."""
        ops = [(*op[:7], *(_drawn(tensor) for tensor in op[7:])) for op in self.ops]
        all_candidates, winograd = bool(self.ways & 4), not self.ways & 8
        return self.values, ops, self.input, self.outputs, self.threads, all_candidates, winograd


def _drawn(tensor: tuple[tuple[int, ...], int] | None) -> np.ndarray | None:
    if tensor is None:
        return None
    numbers = np.random.default_rng(tensor[1]).uniform(-1, 1, tensor[0]).astype(np.float32)
    return np.floor(numbers) if tensor[1] == WHOLE else numbers


def encode(case: Case) -> bytes:
    """Case -> bytes."""
    out = bytes([case.ways, case.threshold, case.images, len(case.values)])
    for is_gate, shape, runs in case.values:
        out += bytes([is_gate]) + _list(shape) + bytes([len(runs)]) + b"".join(map(_number, sum(runs, ())))
    out += bytes([len(case.ops)])
    for _, kind, inputs, output, when, unless, attributes, *tensors in case.ops:
        out += _word(kind) + _list(inputs) + _number(output) + _list(when) + _list(unless) + bytes([len(attributes)])
        out += b"".join(_word(name) + _attribute(attributes[name]) for name in sorted(attributes))
        out += b"".join(map(_tensor, tensors))
    return out + _number(case.input) + _list(case.outputs)


def _number(number: int) -> bytes:
    if 0 <= number < PLAIN:
        return bytes([number])
    if -256 <= number < 0:
        return bytes([NEGATIVE, -1 - number])
    if 0 <= number < 1 << 16:
        return bytes([PLAIN + 1]) + struct.pack("<H", number)
    small = -(1 << 31) <= number < 1 << 31
    return bytes([PLAIN + 2 + (not small)]) + struct.pack("<i" if small else "<q", number)


def _list(numbers: Sequence[int]) -> bytes:
    return bytes([len(numbers)]) + b"".join(map(_number, numbers))


def _word(text: str) -> bytes:
    return bytes([WORDS.index(text)])


def _attribute(content: int | float | str) -> bytes:
    if isinstance(content, str):
        return b"\2" + _word(content)
    return b"\1" + struct.pack("<f", content) if isinstance(content, float) else b"\0" + _number(content)


def _tensor(tensor: tuple[tuple[int, ...], int] | None) -> bytes:
    if tensor is None:
        return b"\0"
    shape, drawn_from = tensor
    return bytes([len(shape) + 1]) + b"".join(map(_number, shape)) + bytes([drawn_from])


def decode(content: bytes) -> Case:
    """Bytes -> case."""
    return _Reader(content).case()


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def case(self) -> Case:
        ways, threshold, images = self.byte(), self.byte(), self.byte()
        values = [self.value() for _ in range(self.byte())]
        ops = [self.op(position) for position in range(self.byte())]
        return Case(ways, threshold, images, values, ops, self.index(), self.indices())

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1] if self.at <= len(self.content) else 0

    def number(self) -> int:
        first = self.byte()
        if first == NEGATIVE:
            return -1 - self.byte()
        if first in FORMATS:
            return self.plain(FORMATS[first])
        return first if first < PLAIN else ODD_ONES[first - ODD]

    def plain(self, layout: str) -> Any:
        return struct.unpack(layout, bytes(self.byte() for _ in range(struct.calcsize(layout))))[0]

    def index(self) -> int:
        return min(max(self.number(), -(1 << 31)), (1 << 31) - 1)

    def indices(self) -> list[int]:
        return [self.index() for _ in range(self.byte())]

    def word(self) -> str:
        return WORDS[self.byte() % len(WORDS)]

    def value(self) -> tuple[bool, list[int], list[tuple[int, ...]]]:
        is_gate, shape = self.byte() % 2 == 1, self.indices()
        return is_gate, shape, [tuple(self.index() for _ in range(4)) for _ in range(self.byte())]

    def op(self, position: int) -> tuple[Any, ...]:
        kind, inputs, output = self.word(), self.indices(), self.index()
        when, unless = self.indices(), self.indices()
        attributes = {self.word(): self.attribute() for _ in range(self.byte())}
        return str(position), kind, inputs, output, when, unless, attributes, self.tensor(), self.tensor()

    def attribute(self) -> int | float | str:
        kind = self.byte() % 3
        return self.number() if kind == 0 else self.plain("<f") if kind == 1 else self.word()

    def tensor(self) -> tuple[tuple[int, ...], int] | None:
        sides = self.byte()
        if sides == 0:
            return None
        shape = tuple(max(self.index(), 0) for _ in range(sides - 1))
        assert np.prod(shape) <= MOST_TENSOR_FLOATS
        return shape, self.byte()
