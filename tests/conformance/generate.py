"""Random networks for the conformance tests: blocks as they are met, odd sizes, gates closed, open, one open, random.

`wild.py` has what no network would do.
"""

from collections.abc import Sequence

import numpy as np
from conformance.builder import Builder as Builder

from sluicegate_runtime import Program
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS as ACTIVATIONS


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
    feature = b.flatten(x) if b.rng.random() < 0.2 else b.pooled(x)
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
            layers = [b.gate(x, 1)] if b.rng.random() < 0.3 else []
            with b.under(*layers):
                out = channels if layers else b.pick(5, 16, 24)
                y = b.conv(b.conv(x, b.pick(3, 16, 40), 1), out, 1, activation=b.pick(*ACTIVATIONS))
            x = b.op("add", [y, x], b.shape(x)) if layers else y
        if read_twice:
            again, size = b.shape(read_twice)[0], b.shape(x)[1:]
            resized = b.op("resize", [read_twice], (again, *size), size=size, align_corners=False)
            x = b.op("concat", [b.conv(x, 4, 1), resized], (4 + again, *size))
    return b.program(first, b.linear(b.pooled(x), 5)), b.tensors


def stem(b: Builder, x: str) -> str:
    kernel = (b.pick(1, 2, 3, 5, 7), b.pick(1, 3, 3, 5, 7))
    padding = tuple(min(int(b.rng.integers(0, 4)), k - 1) for k in kernel)
    padding = tuple(max(p, -(-(k - s) // 2), 0) for p, k, s in zip(padding, kernel, b.shape(x)[1:], strict=True))
    how = {"activation": b.pick(*ACTIVATIONS), "extra_padding": uneven(b, x, kernel, padding)}
    return b.conv(x, b.channels(), kernel, b.pick(1, 1, 2, (2, 1), 3), padding, **how)


def uneven(b: Builder, x: str, kernel: Sequence[int], padding: Sequence[int]) -> tuple[int, int]:
    """How much more padding a convolution may have below and right of the plane; mostly none."""
    if b.rng.random() < 0.7:
        return 0, 0
    sides = zip(b.shape(x)[1:], kernel, padding, strict=True)
    extra = [int(b.rng.integers(max(-p, k - side - 2 * p), k - p)) for side, k, p in sides]
    return extra[0], extra[1]


def basic(b: Builder, x: str) -> str:
    """A basic residual block: channel gate in the middle, perhaps a layer gate, perhaps a stride with a
    shortcut."""
    channels = b.shape(x)[0]
    stride = b.pick(1, 1, 2)
    out = channels if stride == 1 else b.channels()
    shortcut = x if stride == 1 else b.conv(x, out, 1, 2)
    with b.under(*([b.gate(x, 1)] if b.rng.random() < 0.4 else [])):
        mid = b.channels()
        gate = b.gate(x, mid // b.granularity(mid)) if b.rng.random() < 0.8 else None
        y = b.conv(x, mid, 3, stride, gate=gate, activation=b.pick("relu", "relu", "silu"))
        return b.conv(y, out, 3, residual=shortcut, activation=b.pick("relu", "none"), bias=b.pick(True, False))


def pre_activation(b: Builder, x: str) -> str:
    """A norm that no convolution stands before, perhaps behind a mask on what the branch reads."""
    channels = b.shape(x)[0]
    gate = b.gate(x, channels // b.granularity(channels)) if b.rng.random() < 0.3 else None
    y = b.op("select", [x], b.shape(x), gate) if gate else x
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
    kernel, stride = b.pick(3, 3, 5), b.pick(1, 2)
    padding = (b.pick(0, kernel // 2), kernel // 2)
    extra = uneven(b, x, (kernel, kernel), padding)
    if b.shape(x)[1] + 2 * padding[0] + extra[0] < kernel:
        padding = (kernel // 2, kernel // 2)
    how = {"padding": padding, "extra_padding": extra}
    y = b.conv(y, mid, kernel, stride, groups=mid, gate=gate, activation="relu6", **how)
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
    with b.under(b.gate(x, 1)):
        gate = b.gate(x, channels // b.granularity(channels))
        y = b.op("select", [x], b.shape(x), gate)
        y = b.conv(y, channels, 3, activation="relu")
    return b.op("add", [y, x], b.shape(x), activation=b.pick("none", "relu"))


def boosted(b: Builder, x: str) -> str:
    """Feature boosting: saliencies of the mean sizes open the k largest gates and scale what these let through."""
    mid = b.channels()
    flags = mid // b.granularity(mid)
    sizes = b.op("global_pool", [x], b.shape(x)[:1], counted=True, function="abs")
    saliency = b.linear(sizes, flags, "relu") if b.rng.random() < 0.7 else b.constant(flags)
    gate = b.op("gate", [saliency], (flags,), top_k=int(b.rng.integers(1, flags + 1)))
    y = b.conv(x, mid, 3, gate=gate, activation="relu")
    y = b.op("multiply", [y, saliency], b.shape(y), gate)
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
    maximum = b.rng.random() < 0.5
    extra = {} if maximum else {"count_padding": bool(b.rng.random() < 0.5)}
    gate = b.gate(x, b.shape(x)[0] // b.granularity(b.shape(x)[0])) if b.rng.random() < 0.5 else None
    y = b.op("select", [x], b.shape(x), gate) if gate else x
    kind = "max_pool" if maximum else "avg_pool"
    y = b.make(kind, [y], gate, kernel=kernel, stride=stride, padding=padding, ceil=bool(ceil), **extra)
    y = b.same("activation", y, function=b.pick(*ACTIVATIONS), alpha=0.2)
    return b.conv(y, b.channels(), 1) if gate else y


def dense_join(b: Builder, x: str) -> str:
    gates = [b.gate(x, 12 // b.granularity(12)) if b.rng.random() < 0.5 else None for _ in range(2)]
    parts = [x, *(b.conv(x, 12, 3, gate=gate, activation="relu") for gate in gates)]
    return b.op("concat", parts, (b.shape(x)[0] + 24, *b.shape(x)[1:]))


def resized(b: Builder, x: str) -> str:
    size = tuple(int(side) for side in b.rng.integers(1, 16, 2))
    mode = b.pick("nearest", "bilinear", "bilinear")
    aligned = bool(mode == "bilinear" and b.rng.random() < 0.5)
    return b.make("resize", [x], size=size, mode=mode, align_corners=aligned)


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
        with b.under(b.op("gate", [logit], (1,))):
            x = b.conv(x, channels, 3, residual=x, activation="relu")
    return x


def nested(b: Builder, x: str) -> str:
    """x + f(x + g(x)), each branch under a layer gate of its own, that of g decided within f's or before."""
    outer = b.gate(x, 1)
    early = b.gate(x, 1) if b.rng.random() < 0.5 else None
    channels = b.shape(x)[0]
    with b.under(outer):
        inner = early or b.gate(x, 1)
        with b.under(inner):
            g = b.conv(x, channels, b.pick(1, 3))
        summed = b.op("add", [x, g], b.shape(x), activation=b.pick("none", "relu"))
        f = b.conv(summed, channels, 3, activation="relu")
    return b.op("add", [x, f], b.shape(x))


def either(b: Builder, x: str) -> str:
    """One of two branches, by one gate: a cheap one where it is closed."""
    gate, channels = b.gate(x, 1), b.shape(x)[0]
    with b.under(gate):
        dear = b.conv(x, channels, 3, activation="relu")
    with b.under(unless=[gate]):
        cheap = b.conv(x, channels, 1)
    return b.op("add", [x, dear, cheap], b.shape(x), activation="silu")


def squeezed(b: Builder, x: str) -> str:
    """Squeeze and excitation over gated channels: closed ones are neither pooled nor weighed."""
    mid = b.channels(0)
    gate = b.gate(x, mid // b.granularity(mid))
    y = b.conv(x, mid, 1, gate=gate, activation="silu")
    pooled = b.op("global_pool", [y], (mid,), gate)
    factors = b.linear(b.linear(pooled, b.pick(1, 4, 8), "relu"), mid, b.pick("sigmoid", "hardsigmoid"), gate=gate)
    y = b.op("multiply", [y, factors], b.shape(y), gate)
    return b.conv(y, b.shape(x)[0], 1, residual=x)


def shuffled(b: Builder, x: str) -> str:
    """ShuffleNet's unit: one half goes by, the other is gated; both are joined and shuffled with their flags."""
    half = 2 * b.pick(2, 3, 8)
    y = b.conv(x, 2 * half, 1)
    left, right = (b.make("slice", [y], start=start, size=half) for start in (0, half))
    gate = b.gate(x, half // b.granularity(half))
    right = b.conv(b.conv(right, half, 1, gate=gate), half, 3, groups=half, gate=gate, activation="relu")
    joined = b.op("concat", [left, right], b.shape(y), b.owners(left) + b.owners(right))
    owners = b.owners(joined)
    y = b.make("shuffle", [joined], [owners[c % 2 * half + c // 2] for c in range(2 * half)], groups=2)
    return b.conv(y, b.channels(), b.pick(1, 3))


def mlp(b: Builder, x: str) -> str:
    """ConvNeXt's block: depthwise, norm over channels, then two linear layers a pixel, gated in between."""
    channels = b.shape(x)[0]
    y = b.conv(x, channels, b.pick(3, 7), groups=channels)
    weight, bias = b.rng.normal(size=(2, channels))
    if b.pick(True, False):
        y = b.same("layer_norm", y, {"weight": weight, "bias": bias}, eps=1e-2)
    else:
        y = b.same("rms_norm", y, {"weight": weight}, eps=1e-2)
    gate = b.gate(x, 4 * channels // b.granularity(4 * channels))
    y = b.conv(y, 4 * channels, 1, gate=gate, activation="gelu")
    return b.conv(y, channels, 1, residual=x)


def mlp_of_responses(b: Builder, x: str) -> str:
    """ConvNeXt V2's block: a norm of what each channel answers in place of gates."""
    channels = b.shape(x)[0]
    y = b.conv(b.conv(x, channels, 3, groups=channels), 2 * channels, 1, activation="gelu")
    y = b.same("response_norm", y, {"weight": b.rng.normal(size=2 * channels)}, eps=1e-2)
    return b.conv(y, channels, 1, residual=x)


def normed(b: Builder, x: str) -> str:
    """A group norm, whose groups are the gate's."""
    groups = b.pick(1, 2, 4)
    mid = groups * b.pick(2, 3, 8)
    gate = b.gate(x, groups)
    weights = {"weight": b.rng.normal(size=mid), "bias": b.rng.normal(size=mid)}
    y = b.same("group_norm", b.conv(x, mid, 3, gate=gate), weights, groups=groups, eps=1e-2)
    return b.conv(b.same("activation", y, function="mish"), b.channels(), 1)


def decoded(b: Builder, x: str) -> str:
    """Down and up again, gated in between, beside what was there before."""
    _, height, width = b.shape(x)
    mid = 4 * b.pick(1, 2, 8)
    gate = b.gate(x, mid // 4)
    y = b.conv(x, mid, 3, gate=gate, activation="relu")
    flags = b.owners(y)[::4]
    if b.rng.random() < 0.5:
        up = b.make("pixel_shuffle", [y], flags, factor=2)
    else:
        weight = b.rng.normal(size=(mid, 3, 2, 2)) / np.sqrt(mid)
        up = b.make("transposed_conv", [y], None, {"weight": weight}, stride=(2, 2), activation="leaky_relu", alpha=0.1)
    skip = b.make("resize", [x], size=(2 * height, 2 * width), mode="nearest")
    joined = b.make("concat", [up, skip], b.owners(up) + b.owners(skip))
    return b.conv(joined, b.channels(0), 3, 2)


def exit_early(b: Builder, x: str, classes: int) -> None:
    """An exit whose classifier is computed for those images that leave."""
    gate = b.gate(x, 1)
    with b.under(unless=[gate]):
        logits = b.linear(b.pooled(x), classes)
    b.exit(logits, gate)


BLOCKS = (
    *(basic, basic, basic, pre_activation, bottleneck, inverted, grouped, masked_output, masked_input, pools),
    *(dense_join, resized, shortcut_a, recurrent, boosted, pruned),
    *(nested, nested, either, squeezed, shuffled, mlp, mlp_of_responses, normed, decoded),
)
