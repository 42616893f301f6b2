"""Random programs for the conformance tests: every op, odd sizes, gates closed, open, one open and random."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluicegate_runtime import Op, Program, Value

PATTERNS = ("closed", "open", "one", "random")
ACTIVATIONS = ("none", "relu", "relu6", "silu", "hardswish", "sigmoid")
CHANNELS = (1, 2, 3, 5, 8, 15, 16, 17, 24, 32, 33, 48, 64, 70, 100)
WIDE = (130, 256, 300, 513, 700)


@dataclass
class Builder:
    """Writes ops one by one and keeps shapes; names are numbered."""

    rng: np.random.Generator
    values: dict[str, Value] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    when: str | None = None

    def value(self, shape, kind: Any = "tensor", gate: str | None = None) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = Value(name, tuple(int(side) for side in shape), kind, gate)
        return name

    def op(self, kind, inputs, shape, gate=None, tensors=None, **attributes) -> str:
        output = self.value(shape, "gate" if kind == "gate" else "tensor", gate)
        name = f"{kind}{len(self.ops)}"
        roles = {}
        for role, array in (tensors or {}).items():
            roles[role] = f"{name}.{role}"
            self.tensors[roles[role]] = np.ascontiguousarray(array, np.float32)
        when = None if kind == "add" else self.when
        self.ops.append(Op(kind, name, tuple(inputs), output, roles, attributes, when))
        return output

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def conv(
        self,
        x: str,
        out: int,
        kernel: Any = 3,
        stride: Any = 1,
        padding: Any = None,
        dilation: Any = 1,
        groups: int = 1,
        gate: str | None = None,
        residual: str | None = None,
        activation: str = "none",
        bias: bool = True,
        counted: bool = True,
    ) -> str:
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        if padding is None:  # as much as keeps the size, for odd kernels
            padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
        padding = _pair(padding)
        channels, *sides = self.shape(x)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        out_sides = [(side + 2 * p - r) // s + 1 for side, p, r, s in zip(sides, padding, reach, stride, strict=True)]
        fan = channels // groups * kernel[0] * kernel[1]
        tensors = {"weight": self.rng.normal(size=(out, channels // groups, *kernel)) * np.sqrt(2 / fan)}
        if bias:
            tensors["bias"] = self.rng.normal(size=out) * 0.2
        inputs = [x] if residual is None else [x, residual]
        return self.op("conv", inputs, (out, *out_sides), gate, tensors, stride=stride, padding=padding,
                       dilation=dilation, groups=groups, activation=activation, counted=counted)  # fmt: skip

    def linear(self, x, out, activation="none", offset=None) -> str:
        fan = self.shape(x)[0]
        weight = self.rng.normal(size=(out, fan)) / np.sqrt(fan)
        bias = self.rng.normal(size=out) * 0.2 if offset is None else offset
        return self.op("linear", [x], (out,), None, {"weight": weight, "bias": bias}, activation=activation)

    def gate(self, x, flags, pattern=None, top_k=None) -> str:
        """Pooled head: global pool, linear to 16, relu, linear, threshold. The last bias forces the pattern, but not
        where the k largest logits are open: beside so large a bias they would differ by rounding."""
        hidden = self.linear(self.pooled(x), 16, "relu")
        if top_k is None:
            at_random = flags > 1 and pattern is None and self.rng.random() < 0.2
            top_k = int(self.rng.integers(1, flags + 1)) if at_random else 0
        logits = self.linear(hidden, flags, offset=self.offsets(flags, "random" if top_k else pattern))
        return self.op("gate", [logits], (flags,), threshold=float(self.rng.normal() * 0.1), top_k=top_k)

    def constant(self, features) -> str:
        """Random numbers in [0.5, 1.5]."""
        return self.op("constant", [], (features,), tensors={"bias": self.rng.uniform(0.5, 1.5, features)})

    def lstm(self, x, hidden, state=None) -> str:
        columns = self.shape(x)[0] + (hidden if state else 0)
        tensors = {"weight": self.rng.normal(size=(4 * hidden, columns)), "bias": self.rng.normal(size=4 * hidden)}
        return self.op("lstm", [x, *([state] if state else [])], (2 * hidden,), None, tensors)

    def pooled(self, x) -> str:
        return self.op("global_pool", [x], self.shape(x)[:1], self.values[x].gate, counted=True)

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

    def program(self, first: str, last: str) -> Program:
        return Program(first, last, tuple(self.values.values()), tuple(self.ops))


def _pair(content: Any) -> tuple[int, int]:
    return (content, content) if isinstance(content, int) else tuple(content)


def random_program(seed: int) -> tuple[Program, dict[str, np.ndarray]]:
    """A small network of one to four random blocks, ended by a classifier or a map."""
    b = Builder(np.random.default_rng(seed))
    sides = b.rng.integers(28, 40, 2) if b.rng.random() < 0.15 else b.rng.integers(3, 24, 2)  # cut by rows, and not
    first = b.value((b.pick(1, 3, 3, 4, 6, 20), *sides))
    x = stem(b, first)
    classes = int(b.rng.integers(1, 40)) if b.rng.random() < 0.8 else None
    for _ in range(b.rng.integers(1, 5)):
        x = BLOCKS[b.rng.integers(len(BLOCKS))](b, x)
        if classes and b.rng.random() < 0.15:
            exit_early(b, x, classes)
    if classes is None:
        return b.program(first, b.conv(x, b.channels(), 1)), b.tensors
    feature = b.op("flatten", [x], (int(np.prod(b.shape(x))),)) if b.rng.random() < 0.2 else b.pooled(x)
    return b.program(first, b.linear(feature, classes)), b.tensors


def random_chain(seed: int) -> tuple[Program, dict[str, np.ndarray]]:
    """Ops that follow each other through planes large enough to be cut by rows or run strip by strip, of which some are
    read twice."""
    b = Builder(np.random.default_rng(seed))
    first = b.value((b.pick(1, 3, 8), *b.rng.integers(56, 90, 2)))
    x = stem(b, first)
    for _ in range(b.rng.integers(1, 6)):
        read_twice = x if b.rng.random() < 0.15 else None
        channels, *sides = b.shape(x)
        kind = b.pick("point", "depthwise", "depthwise", "pool", "gated", "gated3") if min(sides) >= 5 else "point"
        if kind == "depthwise":
            x = b.conv(x, channels, b.pick(1, 3, (3, 1), 5), b.pick(1, 1, 2), dilation=b.pick(1, 1, 2), groups=channels)
        elif kind == "pool":
            x = pools(b, x)
        elif kind == "gated":
            x = inverted(b, x)
        elif kind == "gated3":
            mid = b.pick(20, 40, 70)
            y = b.conv(x, mid, 3, b.pick(1, 1, 2), gate=b.gate(x, mid), activation="relu")
            x = b.conv(y, channels, 1)
        else:
            b.when = b.gate(x, 1) if b.rng.random() < 0.3 else None
            out = channels if b.when else b.pick(5, 16, 24)
            y = b.conv(b.conv(x, b.pick(3, 16, 40), 1), out, 1, activation=b.pick(*ACTIVATIONS))
            x, b.when = y if b.when is None else b.op("add", [y, x], b.shape(x)), None
        if read_twice:
            again, size = b.shape(read_twice)[0], b.shape(x)[1:]
            resized = b.op("resize", [read_twice], (again, *size), size=size, align_corners=False)
            x = b.op("concat", [b.conv(x, 4, 1), resized], (4 + again, *size))
    return b.program(first, b.linear(b.pooled(x), 5)), b.tensors


def stem(b: Builder, x: str) -> str:
    kernel = (b.pick(1, 2, 3, 5, 7), b.pick(1, 3, 3, 5, 7))
    padding = tuple(min(int(b.rng.integers(0, 4)), k - 1) for k in kernel)
    padding = tuple(max(p, -(-(k - s) // 2), 0) for p, k, s in zip(padding, kernel, b.shape(x)[1:], strict=True))
    return b.conv(x, b.channels(), kernel, b.pick(1, 1, 2, (2, 1), 3), padding, activation=b.pick(*ACTIVATIONS))


def basic(b: Builder, x: str) -> str:
    """A basic residual block: channel gate in the middle, perhaps a layer gate, perhaps a stride with a
    shortcut."""
    channels = b.shape(x)[0]
    stride = b.pick(1, 1, 2)
    out = channels if stride == 1 else b.channels()
    shortcut = x if stride == 1 else b.conv(x, out, 1, 2)
    layer = b.gate(x, 1) if b.rng.random() < 0.4 else None
    b.when = layer
    mid = b.channels()
    gate = b.gate(x, mid // b.granularity(mid)) if b.rng.random() < 0.8 else None
    y = b.conv(x, mid, 3, stride, gate=gate, activation=b.pick("relu", "relu", "silu"))
    y = b.conv(y, out, 3, residual=shortcut, activation=b.pick("relu", "none"), bias=b.pick(True, False))
    b.when = None
    return y


def pre_activation(b: Builder, x: str) -> str:
    """A norm that no convolution stands before, perhaps behind a mask on what the branch reads."""
    channels = b.shape(x)[0]
    gate = b.gate(x, channels // b.granularity(channels)) if b.rng.random() < 0.3 else None
    y = b.op("select", [x, gate], b.shape(x), gate) if gate else x
    y = b.conv(y, channels, 1, groups=channels, gate=gate, activation=b.pick("relu", "none"), counted=False)
    return b.conv(y, channels, 3, residual=x)


def bottleneck(b: Builder, x: str) -> str:
    """1x1, 3x3, 1x1, both inner values gated."""
    channels = b.shape(x)[0]
    widths = b.channels(), b.channels()
    gates = [b.gate(x, width // b.granularity(width)) for width in widths]
    y = b.conv(x, widths[0], 1, gate=gates[0], activation="relu")
    y = b.conv(y, widths[1], b.pick(3, 3, 5), gate=gates[1], activation="relu")
    return b.conv(y, channels, 1, residual=x, activation="relu")


def inverted(b: Builder, x: str) -> str:
    """Expand, depthwise on the gated channels, project."""
    channels = b.shape(x)[0]
    mid = b.channels()
    gate = b.gate(x, mid // b.granularity(mid)) if b.rng.random() < 0.8 else None
    y = b.conv(x, mid, 1, gate=gate, activation=b.pick("relu6", "hardswish", "silu"))
    kernel = b.pick(3, 3, 5)
    y = b.conv(y, mid, kernel, b.pick(1, 2), groups=mid, gate=gate, activation="relu6")
    return b.conv(y, channels, 1)


def grouped(b: Builder, x: str) -> str:
    """Groups, with or without gates on either side; dilation."""
    groups = b.pick(2, 3, 4, 8)
    mid, out = groups * b.pick(1, 4, 5, 16), groups * b.pick(1, 3, 4, 16)
    gates = [b.gate(x, size // b.granularity(size)) if b.rng.random() < 0.5 else None for size in (mid, out)]
    kernel = b.pick(1, (1, 3), (3, 2)) if min(b.shape(x)[1:]) >= 3 else 1
    y = b.conv(x, mid, kernel, padding=0, gate=gates[0])
    y = b.conv(y, out, 3, dilation=b.pick(1, 2), groups=groups, gate=gates[1], activation=b.pick(*ACTIVATIONS))
    return b.conv(y, b.channels(), 1)


def masked_output(b: Builder, x: str) -> str:
    """The last convolution of a branch is gated, then added to what is not."""
    channels = b.shape(x)[0]
    gate = b.gate(x, channels // b.granularity(channels))
    y = b.conv(b.conv(x, channels, activation="relu"), channels, b.pick(1, 3), gate=gate)
    return b.op("add", [x, y], b.shape(x), activation=b.pick("none", "relu", "silu"))


def masked_input(b: Builder, x: str) -> str:
    """The branch reads the open channels only; under a layer gate, and added outside of it."""
    channels = b.shape(x)[0]
    b.when = b.gate(x, 1)
    gate = b.gate(x, channels // b.granularity(channels))
    y = b.op("select", [x, gate], b.shape(x), gate)
    y = b.conv(y, channels, 3, activation="relu")
    b.when = None
    return b.op("add", [y, x], b.shape(x), activation=b.pick("none", "relu"))


def boosted(b: Builder, x: str) -> str:
    """Feature boosting: saliencies of the mean sizes open the k largest gates and scale what these let through."""
    mid = b.channels()
    flags = mid // b.granularity(mid)
    sizes = b.op("global_pool", [x], b.shape(x)[:1], counted=True, absolute=True)
    saliency = b.linear(sizes, flags, "relu") if b.rng.random() < 0.7 else b.constant(flags)
    gate = b.op("gate", [saliency], (flags,), top_k=int(b.rng.integers(1, flags + 1)))
    y = b.conv(x, mid, 3, gate=gate, activation="relu")
    y = b.op("scale", [y, saliency], b.shape(y), gate)
    return b.conv(y, b.channels(), b.pick(1, 3))


def pruned(b: Builder, x: str) -> str:
    """Gates that do not look at the image."""
    mid = b.channels()
    flags = mid // b.granularity(mid)
    gate = b.op("gate", [b.constant(flags)], (flags,), threshold=1.0)
    return b.conv(b.conv(x, mid, 3, gate=gate, activation="relu"), b.channels(), 1)


def pools(b: Builder, x: str) -> str:
    kernel = tuple(min(b.pick(1, 2, 3), side) for side in b.shape(x)[1:])
    padding = tuple(b.pick(0, k // 2) for k in kernel)
    stride = (b.pick(1, 2), b.pick(1, 2, 3))
    ceil = b.rng.random() < 0.3
    maximum = ceil or b.rng.random() < 0.5
    sides = []
    for side, k, s, p in zip(b.shape(x)[1:], kernel, stride, padding, strict=True):
        count, rest = divmod(side + 2 * p - k, s)
        sides.append(count + 1 + bool(maximum and ceil and rest and (count + 1) * s < side + p))
    extra = {"ceil": ceil} if maximum else {"count_padding": bool(b.rng.random() < 0.5)}
    gate = b.gate(x, b.shape(x)[0] // b.granularity(b.shape(x)[0])) if b.rng.random() < 0.5 else None
    y = b.op("select", [x, gate], b.shape(x), gate) if gate else x
    kind = "max_pool" if maximum else "avg_pool"
    shape = (b.shape(x)[0], *sides)
    y = b.op(kind, [y], shape, gate, kernel=kernel, stride=stride, padding=padding, **extra)
    y = b.op("activation", [y], b.shape(y), gate, function=b.pick(*ACTIVATIONS))
    return b.conv(y, b.channels(), 1) if gate else y


def dense_join(b: Builder, x: str) -> str:
    gates = [b.gate(x, 12 // b.granularity(12)) if b.rng.random() < 0.5 else None for _ in range(2)]
    parts = [x, *(b.conv(x, 12, 3, gate=gate, activation="relu") for gate in gates)]
    return b.op("concat", parts, (b.shape(x)[0] + 24, *b.shape(x)[1:]))


def resize(b: Builder, x: str) -> str:
    size = tuple(int(side) for side in b.rng.integers(1, 16, 2))
    return b.op("resize", [x], (b.shape(x)[0], *size), size=size, align_corners=bool(b.rng.random() < 0.5))


def shortcut_a(b: Builder, x: str) -> str:
    """CIFAR ResNet's parameter-free shortcut beside a strided convolution."""
    channels, height, width = b.shape(x)
    before, after, stride = int(b.rng.integers(0, 20)), int(b.rng.integers(0, 20)), b.pick(1, 2)
    shape = (before + channels + after, -(-height // stride), -(-width // stride))
    y = b.op("subsample", [x], shape, stride=stride, before=before, after=after)
    gate = b.gate(x, b.channels(0))
    mid = b.conv(x, b.shape(gate)[0], 3, stride, gate=gate, activation="relu")
    return b.conv(mid, shape[0], 3, residual=y, activation="relu")


def recurrent(b: Builder, x: str) -> str:
    """Two branches whose layer gates share the state of one LSTM."""
    channels, hidden, state = b.shape(x)[0], b.pick(1, 5, 10, 16, 20), None
    for _ in range(2):
        state = b.lstm(b.linear(b.pooled(x), b.pick(1, 10, 33)), hidden, state)
        logit = b.linear(b.op("slice", [state], (hidden,), size=hidden), 1, offset=b.offsets(1))
        b.when = b.op("gate", [logit], (1,))
        y = b.conv(x, channels, 3, residual=x, activation="relu")
        b.when, x = None, y
    return x


def exit_early(b: Builder, x: str, classes: int) -> None:
    logits = b.linear(b.pooled(x), classes)
    gate = b.gate(x, 1)
    b.ops.append(Op("exit", f"exit{len(b.ops)}", (logits, gate), None))


BLOCKS = (
    *(basic, basic, basic, pre_activation, bottleneck, inverted, grouped),
    *(masked_output, masked_input, pools, dense_join, resize, shortcut_a, recurrent, boosted, pruned),
)
