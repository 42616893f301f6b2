"""Writes programs op by op, for tests: names are numbered, shapes and channel maps kept, tensors drawn at random."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluicegate_runtime import ChannelRun, Op, Program, Value, attributes_of, channel_runs
from sluicegate_runtime.channels import Owner
from sluicegate_runtime.ops import ROOMS
from sluicegate_runtime.ops.frame.room import Given

PATTERNS = ("closed", "open", "one", "random")
CHANNELS = (1, 2, 3, 5, 8, 15, 16, 17, 24, 32, 33, 48, 64, 70, 100)
WIDE = (130, 256, 300, 513, 700)

Gating = str | Sequence[Owner] | None  # a gate that each repeats its flags evenly; a map; nothing


@dataclass
class Builder:
    """Writes ops one by one. `when` and `unless` are the gates under which it does so at present."""

    rng: np.random.Generator
    values: dict[str, Value] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    regions: dict[str, frozenset[tuple[str, bool]]] = field(default_factory=dict)  # of values
    private: set[str] = field(default_factory=set)  # values that are not to be read by chance

    def value(self, shape, kind: Any = "tensor", gate: Gating = None) -> str:
        name = f"v{len(self.values)}"
        shape = tuple(int(side) for side in shape)
        self.values[name] = Value(name, shape, kind, self.runs(shape[0], gate))
        self.regions[name] = self.region()
        return name

    def runs(self, channels: int, gate: Gating) -> tuple[ChannelRun, ...]:
        if isinstance(gate, str):
            return (ChannelRun(channels, gate, 0, channels // self.shape(gate)[0]),)
        return channel_runs(gate) if gate is not None else ()

    def region(self) -> frozenset[tuple[str, bool]]:
        """The literals under which it writes at present."""
        own = {(gate, True) for gate in self.when} | {(gate, False) for gate in self.unless}
        return frozenset(own).union(*(self.regions[gate] for gate in self.when))

    @contextmanager
    def under(self, *when: str, unless: Sequence[str] = ()) -> Iterator[None]:
        """Write ops that run where these gates are open, or closed, too."""
        before = self.when, self.unless
        self.when, self.unless = (*self.when, *when), (*self.unless, *unless)
        yield
        self.when, self.unless = before

    def op(self, kind, inputs, shape, /, gate: Gating = None, tensors=None, **attributes) -> str:
        output = self.value(shape, "gate" if kind == "gate" else "tensor", gate)
        name = f"{kind}{len(self.ops)}"
        roles = {}
        for role, array in (tensors or {}).items():
            roles[role] = f"{name}.{role}"
            self.tensors[roles[role]] = np.ascontiguousarray(array, np.float32)
        self.ops.append(Op(kind, name, tuple(inputs), output, roles, attributes, self.when, self.unless))
        if kind == "conv" and len(inputs) == 2:
            self.regions[output] = self.regions[inputs[1]]
        return output

    def make(self, kind, inputs, gate: Gating = None, tensors=None, **attributes) -> str:
        """An op whose shape follows from its rule. InputError where the rule refuses it."""
        arrays = {role: np.ascontiguousarray(array, np.float32) for role, array in (tensors or {}).items()}
        op = Op(kind, "new", tuple(inputs), "new", {}, attributes)
        values = tuple(self.values[name] for name in inputs)
        shape = ROOMS[kind].shape(Given(op, attributes_of(op), values, arrays, self._no_map))
        return self.op(kind, inputs, shape, gate, tensors, **attributes)

    def _no_map(self, name: str) -> np.ndarray:
        return np.full(self.shape(name)[0], -1)

    def same(self, kind, x, tensors=None, **attributes) -> str:
        """An op that keeps shape and channel map."""
        return self.op(kind, [x], self.shape(x), self.owners(x), tensors, **attributes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def owners(self, name: str) -> list[Owner]:
        """What closes each channel of a value."""
        value = self.values[name]
        return [owner for run in value.channels for owner in run.owners()] or [None] * value.shape[0]

    def gated(self, name: str) -> bool:
        return any(self.owners(name))

    def conv(
        self,
        x: str,
        out: int,
        kernel: Any = 3,
        stride: Any = 1,
        padding: Any = None,
        dilation: Any = 1,
        groups: int = 1,
        gate: Gating = None,
        residual: str | None = None,
        activation: str = "none",
        bias: bool = True,
        counted: bool = True,
        extra_padding: tuple[int, int] = (0, 0),
    ) -> str:
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        if padding is None:  # as much as keeps the size, for odd kernels
            padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
        padding = _pair(padding)
        channels, *sides = self.shape(x)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        whole = [side + 2 * p + extra for side, p, extra in zip(sides, padding, extra_padding, strict=True)]
        out_sides = [(side - r) // s + 1 for side, r, s in zip(whole, reach, stride, strict=True)]
        fan = channels // groups * kernel[0] * kernel[1]
        tensors = {"weight": self.rng.normal(size=(out, channels // groups, *kernel)) * np.sqrt(2 / fan)}
        if bias:
            tensors["bias"] = self.rng.normal(size=out) * 0.2
        inputs = [x] if residual is None else [x, residual]
        return self.op("conv", inputs, (out, *out_sides), gate, tensors, stride=stride, padding=padding,
                       extra_padding=extra_padding, dilation=dilation, groups=groups, activation=activation,
                       counted=counted)  # fmt: skip

    def linear(self, x, out, activation="none", offset=None, gate: Gating = None, **attributes) -> str:
        fan = self.shape(x)[0]
        weight = self.rng.normal(size=(out, fan)) / np.sqrt(fan)
        bias = self.rng.normal(size=out) * 0.2 if offset is None else offset
        tensors = {"weight": weight, "bias": bias}
        return self.op("linear", [x], (out,), gate, tensors, activation=activation, **attributes)

    def gate(self, x, flags, pattern=None, top_k=None, keep_open=0) -> str:
        """Pooled head: global pool, linear to 16, relu, linear, threshold. The last bias forces the pattern, but not
        where the k largest logits are open: beside so large a bias they would differ by rounding."""
        hidden = self.linear(self.pooled(x), 16, "relu")
        if top_k is None:
            at_random = flags > 1 and pattern is None and self.rng.random() < 0.2
            top_k = int(self.rng.integers(1, flags + 1)) if at_random else 0
        logits = self.linear(hidden, flags, offset=self.offsets(flags, "random" if top_k else pattern))
        threshold = float(self.rng.normal() * 0.1)
        return self.op("gate", [logits], (flags,), threshold=threshold, top_k=top_k, keep_open=keep_open)

    def fixed(self, flags: Sequence[bool]) -> str:
        """A gate that says the same of every image."""
        logits = self.op("constant", [], (len(flags),), tensors={"bias": np.where(flags, 1.0, -1.0)})
        return self.op("gate", [logits], (len(flags),))

    def stored(self, array: np.ndarray) -> str:
        """A constant: these numbers."""
        return self.op("constant", [], array.shape, tensors={"bias": array})

    def constant(self, features) -> str:
        """Random numbers in [0.5, 1.5]."""
        return self.op("constant", [], (features,), tensors={"bias": self.rng.uniform(0.5, 1.5, features)})

    def reshape(self, x, shape, gate: Gating = None) -> str:
        return self.op("reshape", [x], shape, gate, shape=tuple(int(side) for side in shape))

    def flatten(self, x) -> str:
        channels, size = self.shape(x)[0], int(np.prod(self.shape(x)))
        return self.reshape(x, (size,), [owner for owner in self.owners(x) for _ in range(size // channels)])

    def lstm(self, x, hidden, state=None) -> str:
        columns = self.shape(x)[0] + (hidden if state else 0)
        tensors = {"weight": self.rng.normal(size=(4 * hidden, columns)), "bias": self.rng.normal(size=4 * hidden)}
        return self.op("lstm", [x, *([state] if state else [])], (2 * hidden,), None, tensors)

    def pooled(self, x) -> str:
        return self.op("global_pool", [x], self.shape(x)[:1], self.owners(x), counted=True)

    def offsets(self, flags, pattern=None) -> np.ndarray:
        pattern = pattern or str(self.rng.choice(PATTERNS))
        offsets = {"closed": -1e4, "open": 1e4, "one": -1e4, "random": 0.0}[pattern] + self.rng.normal(size=flags)
        if pattern == "one":
            offsets[self.rng.integers(flags)] = 1e4
        return offsets

    def pick(self, *options) -> Any:
        return options[self.rng.integers(len(options))]

    def channels(self, wide=0.1) -> int:
        return int(self.rng.choice(WIDE if self.rng.random() < wide else CHANNELS))

    def granularity(self, channels) -> int:
        fits = [size for size in (1, 1, 2, 4, 8, 16, 32) if channels % size == 0]
        return int(self.rng.choice(fits))

    def exit(self, value, gate) -> None:
        self.ops.append(Op("exit", f"exit{len(self.ops)}", (value, gate), None))

    def program(self, first: str, last: str | dict[str, str]) -> Program:
        outputs = {"output": last} if isinstance(last, str) else last
        return Program(first, outputs, tuple(self.values.values()), tuple(self.ops))


def _pair(content: Any) -> tuple[int, int]:
    return (content, content) if isinstance(content, int) else tuple(content)
