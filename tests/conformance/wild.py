"""Random ops over random values: any channel map that the rules allow, any regions, several outputs.

No network looks like this. Gates are made first, some of them within regions; then each step takes a value that may be
read here and now, and a map for what it writes: that of its inputs, or one drawn channel by channel.
"""

from collections.abc import Callable

import numpy as np
from conformance.builder import Builder
from conformance.generate import ACTIVATIONS, uneven

from sluicegate_runtime import Program
from sluicegate_runtime.channels import Owner

SIDES = (1, 2, 3, 4, 6, 7, 12)
LARGE = (28, 31, 57)  # planes that are cut by rows among threads
MOST = 64  # channels of a value; more would take long in NumPy


def random_ops(seed: int) -> tuple[Program, dict[str, np.ndarray]]:
    """A program of five to thirty ops beside its gates, with one to three outputs."""
    return _random(np.random.default_rng(seed), SIDES, 31)


def random_ops_of_large_planes(seed: int) -> tuple[Program, dict[str, np.ndarray]]:
    """The same with larger planes, and fewer ops."""
    return _random(np.random.default_rng(seed), LARGE, 13)


def _random(rng: np.random.Generator, sides: tuple[int, ...], most: int) -> tuple[Program, dict[str, np.ndarray]]:
    b = Builder(rng)
    first = b.value((b.pick(1, 3, 8), *b.rng.choice(sides, 2)))
    b.conv(first, b.pick(4, 6, 8, 16), 1)
    usual = set(b.values)
    make_gates(b, first)
    b.private |= b.values.keys() - usual  # logits are so large that all other numbers would drown
    for _ in range(b.rng.integers(5, most)):
        gates = some_gates(b)
        with b.under(*gates[0], unless=gates[1]):
            step(b)
    outputs = {f"out{i}": opened(b, str(b.rng.choice(readable(b)))) for i in range(b.pick(1, 1, 2, 3))}
    if len(outputs) == 1 and b.rng.random() < 0.3:
        leave(b, first, outputs["out0"])
        outputs["out0"] = b.same("affine", outputs["out0"], scale=2.0)
    return b.program(first, outputs), b.tensors


def leave(b: Builder, first: str, value: str) -> None:
    """An exit, with something else than the network would say."""
    gate = b.gate(first, 1)
    with b.under(unless=[gate]):
        early = b.same("affine", value, shift=1.0)
    b.exit(early, gate)


def make_gates(b: Builder, x: str) -> None:
    """Layer gates, one within another's region, and channel gates."""
    for _ in range(2):
        outer = b.gate(x, 1)
        with b.under(outer):
            b.gate(x, 1)
            b.gate(x, b.pick(2, 3, 8))
    for _ in range(b.rng.integers(1, 4)):
        flags = int(b.pick(1, 2, 4, 5, 16))
        b.gate(x, flags, keep_open=int(b.rng.integers(0, flags + 1)) if b.rng.random() < 0.2 else 0)


def layers(b: Builder) -> list[str]:
    return [name for name, value in b.values.items() if value.kind == "gate" and value.shape == (1,)]


def some_gates(b: Builder) -> tuple[list[str], list[str]]:
    """What the next step may stand under."""
    when = [gate for gate in layers(b) if b.rng.random() < 0.12]
    unless = [gate for gate in layers(b) if b.rng.random() < 0.05 and not b.regions[gate] and gate not in when]
    return when, unless


def readable(b: Builder) -> list[str]:
    """The tensors that are present wherever ops are written at present."""
    here = b.region()
    return [name for name in tensors(b) if b.regions[name] <= here]


def tensors(b: Builder) -> list[str]:
    return [name for name, value in b.values.items() if value.kind == "tensor" and name not in b.private]


def any_map(b: Builder, channels: int) -> list[Owner] | None:
    """A map without rule, in runs, or even; or none."""
    gates = [name for name, value in b.values.items() if value.kind == "gate"]
    fitting = [gate for gate in gates if channels % b.shape(gate)[0] == 0]
    how = b.rng.random()
    if how < 0.25:
        return None
    if how < 0.5 and fitting:
        gate = str(b.rng.choice(fitting))
        return [(gate, i // (channels // b.shape(gate)[0])) for i in range(channels)]
    owners: list[Owner] = []
    while len(owners) < channels:
        gate = str(b.rng.choice(gates))
        flags, count = b.shape(gate)[0], 1 if how > 0.85 else int(b.rng.integers(1, channels + 1))
        start, repeat = int(b.rng.integers(flags)), int(b.pick(1, 2, 3))
        opens = b.rng.random() < 0.3
        owners += [None if opens or start + i // repeat >= flags else (gate, start + i // repeat) for i in range(count)]
    return owners[:channels]


def opened(b: Builder, x: str) -> str:
    """The value with no channel gated: read by something that forgets, or copied."""
    if not b.gated(x):
        return x
    return b.conv(x, 3, 1) if len(b.shape(x)) == 3 and b.rng.random() < 0.5 else b.op("select", [x], b.shape(x))


def step(b: Builder) -> None:
    """One more op, or several that belong together."""
    x = str(b.rng.choice(readable(b)))
    STEPS[b.rng.integers(len(STEPS))](b, x)


def convolution(b: Builder, x: str) -> None:
    if len(b.shape(x)) != 3:
        return linear(b, x)
    channels = b.shape(x)[0]
    groups = int(b.rng.choice([g for g in (1, 1, 1, 2, 3, 4, channels) if channels % g == 0]))
    out = groups * int(b.rng.integers(1, max(1, 24 // groups) + 1))
    kernel = b.pick(1, 1, 3, (1, 3))
    owners = any_map(b, out)
    how = {"groups": groups, "gate": owners, "activation": b.pick(*ACTIVATIONS[:6])}
    if kernel == 3:
        how |= {"padding": (1, 1), "extra_padding": uneven(b, x, (3, 3), (1, 1))}
    y = b.conv(x, out, kernel, **how)
    if out == channels and b.rng.random() < 0.7:  # the same again, with a residual of the same map
        b.conv(x, out, kernel, residual=y, **how)
    same = [v for v in readable(b) if b.shape(v) == b.shape(y) and b.owners(v) == b.owners(y) and v != y]
    if same:
        b.conv(x, out, kernel, residual=str(b.rng.choice(same)), **how)


def transposed(b: Builder, x: str) -> None:
    if len(b.shape(x)) != 3 or max(b.shape(x)[1:]) > 8:
        return
    channels = b.shape(x)[0]
    groups = int(b.rng.choice([g for g in (1, 1, 2, 4, channels) if channels % g == 0]))
    out = int(b.rng.integers(1, max(1, 12 // groups) + 1))
    kernel, stride = (b.pick(1, 2, 3), b.pick(1, 2, 4)), (b.pick(1, 2), b.pick(1, 2, 3))
    dilation = (b.pick(1, 1, 2), 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sides = zip(b.shape(x)[1:], stride, reach, strict=True)
    padding = tuple(int(b.rng.integers(0, min(r - 1, ((n - 1) * s + r - 1) // 2) + 1)) for n, s, r in sides)
    extra = tuple(int(b.rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
    weight = b.rng.normal(size=(channels, out, *kernel)) / np.sqrt(channels)
    stored = {"weight": weight, **({"bias": b.rng.normal(size=out * groups)} if b.rng.random() < 0.7 else {})}
    how = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation, "groups": groups}
    b.make("transposed_conv", [x], any_map(b, out * groups), stored, **how, activation=b.pick("none", "relu", "elu"))


def linear(b: Builder, x: str) -> None:
    if len(b.shape(x)) == 1:
        out = int(b.rng.integers(1, 20))
        b.linear(x, out, b.pick(*ACTIVATIONS), gate=any_map(b, out), alpha=0.3)


def add(b: Builder, x: str) -> None:
    """With what else is of that shape, absent or not; any maps."""
    others = [name for name in tensors(b) if b.shape(name) == b.shape(x)]
    inputs = [x, *map(str, b.rng.choice(others, b.rng.integers(1, 4)))]
    b.rng.shuffle(inputs)
    b.op("add", inputs, b.shape(x), any_map(b, b.shape(x)[0]), activation=b.pick(*ACTIVATIONS[:5]), alpha=0.2)


def skipped_summand(b: Builder, x: str) -> None:
    """Two regions, one within the other, and a sum that looks into both."""
    gates = [gate for gate in layers(b) if gate not in (*b.when, *b.unless)]
    if len(gates) < 2 or len(b.shape(x)) != 3:
        return
    outer, inner = map(str, b.rng.choice(gates, 2, replace=False))
    with b.under(outer):
        y = b.conv(x, b.shape(x)[0], 1)
        with b.under(inner):
            z = b.conv(y, b.shape(x)[0], 1, gate=any_map(b, b.shape(x)[0]))
        within = b.op("add", [y, z], b.shape(x))
    b.op("add", [x, within, z], b.shape(x), activation="relu")


def multiply(b: Builder, x: str) -> None:
    channels, *sides = b.shape(x)
    shapes = {b.shape(x), (channels,), (1, *sides)} | {(g,) for g in range(1, channels) if channels % g == 0}
    fits = [y for y in readable(b) if b.shape(y) in shapes and (not b.gated(y) or b.owners(y) == b.owners(x))]
    if fits:
        y = b.same("activation", str(b.rng.choice(fits)), function=b.pick("sigmoid", "tanh"))
        b.op("multiply", [x, y], b.shape(x), b.owners(x))


def factors(b: Builder, x: str) -> None:
    """Squeezed, or pooled over channels, and multiplied again."""
    if len(b.shape(x)) != 3:
        return
    if b.rng.random() < 0.5:
        y = b.make("channel_pool", [x], function=b.pick("mean", "max", "sum"))
    else:
        y = b.make("global_pool", [x], b.owners(x), function=b.pick("mean", "abs", "max"), counted=b.pick(True, False))
    y = b.same("activation", y, function="sigmoid")
    b.op("multiply", [x, y], b.shape(x), b.owners(x))


def concat(b: Builder, x: str) -> None:
    fits = [y for y in readable(b) if b.shape(y)[1:] == b.shape(x)[1:]]
    inputs = [x, *map(str, b.rng.choice(fits, b.rng.integers(1, 3)))]
    if sum(b.shape(y)[0] for y in inputs) <= MOST:
        owners = [owner if b.rng.random() < 0.9 else None for y in inputs for owner in b.owners(y)]
        b.make("concat", inputs, owners)


def cut(b: Builder, x: str) -> None:
    channels = b.shape(x)[0]
    start = int(b.rng.integers(channels))
    size = int(b.rng.integers(1, channels - start + 1))
    b.make("slice", [x], b.owners(x)[start : start + size], start=start, size=size)


def shuffle(b: Builder, x: str) -> None:
    channels, owners = b.shape(x)[0], b.owners(x)
    groups = int(b.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    order = np.arange(channels).reshape(groups, -1).T.ravel()
    b.make("shuffle", [x], [owners[c] for c in order], groups=groups)


def picked(b: Builder, x: str) -> None:
    owners = b.owners(x)
    index = b.rng.integers(-1, len(owners), b.rng.integers(1, 2 * len(owners)))
    b.make("index_select", [x], [None if c == -1 else owners[c] for c in index], {"weight": index})


def select(b: Builder, x: str) -> None:
    b.op("select", [x], b.shape(x), any_map(b, b.shape(x)[0]))


def reshape(b: Builder, x: str) -> None:
    channels, *sides = b.shape(x)
    size = channels * int(np.prod(sides))
    if not b.gated(x) and size <= MOST:
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        high = int(b.rng.choice(divisors))
        wide = int(b.rng.choice([d for d in divisors if size // high % d == 0]))
        b.reshape(x, (size // high // wide, high, wide))
    elif len(sides) == 2 and size <= MOST:
        b.flatten(x)
    elif len(sides) == 2:
        b.reshape(x, (channels, sides[1], sides[0]), b.owners(x))


def pixels(b: Builder, x: str) -> None:
    """Between channels and pixels, where flags allow it."""
    if len(b.shape(x)) != 3:
        return
    (channels, height, width), owners, r = b.shape(x), b.owners(x), b.pick(1, 2, 3)
    if height % r == 0 and width % r == 0 and channels * r * r <= MOST:
        b.make("pixel_unshuffle", [x], [owner for owner in owners for _ in range(r * r)], factor=r)
    if channels % (r * r) == 0 and max(height, width) * r <= 24:
        merged = [owners[c : c + r * r] for c in range(0, channels, r * r)]
        if all(len(set(part)) == 1 for part in merged):
            b.make("pixel_shuffle", [x], [part[0] for part in merged], factor=r)


def window(b: Builder, x: str) -> None:
    """A pool of any kind."""
    if len(b.shape(x)) != 3:
        return
    kernel = tuple(min(b.pick(1, 2, 3), side) for side in b.shape(x)[1:])
    how = {"kernel": kernel, "stride": (b.pick(1, 2), b.pick(1, 2, 3)), "ceil": bool(b.rng.random() < 0.4)}
    padding = tuple(b.pick(0, k // 2) for k in kernel)
    if b.rng.random() < 0.5:
        dilated = all(2 * (k - 1) + 1 <= side for k, side in zip(kernel, b.shape(x)[1:], strict=True))
        dilation = (2, 2) if dilated and b.rng.random() < 0.3 else (1, 1)
        padding = padding if dilation == (1, 1) else (0, 0)
        b.make("max_pool", [x], b.owners(x), padding=padding, dilation=dilation, **how)
    else:
        b.make("avg_pool", [x], b.owners(x), padding=padding, count_padding=bool(b.rng.random() < 0.5), **how)


def resized(b: Builder, x: str) -> None:
    if len(b.shape(x)) != 3:
        return
    size = tuple(int(side) for side in b.rng.integers(1, 13, 2))
    if b.rng.random() < 0.4:
        b.make("adaptive_pool", [x], b.owners(x), size=size, maximum=b.pick(True, False))
    elif b.rng.random() < 0.5:
        b.make("resize", [x], b.owners(x), size=size, mode="nearest")
    else:
        b.make("resize", [x], b.owners(x), size=size, align_corners=b.pick(True, False))


def padded(b: Builder, x: str) -> None:
    if len(b.shape(x)) != 3 or max(b.shape(x)[1:]) > 12:
        return
    mode = b.pick("constant", "reflect", "replicate", "circular")
    most = {"reflect": -1, "circular": 0}
    edges = {}
    for side, names in zip(b.shape(x)[1:], (("top", "bottom"), ("left", "right")), strict=True):
        limit = min(3, side + most[mode]) if mode in most else 3
        edges |= {name: int(b.rng.integers(0, limit + 1)) for name in names}
    b.make("pad", [x], b.owners(x), mode=mode, fill=float(b.rng.normal()), **edges)


def cropped(b: Builder, x: str) -> None:
    if len(b.shape(x)) != 3:
        return
    stride, start, size = (b.pick(1, 2, 3), b.pick(1, 2)), [], []
    for side, step_ in zip(b.shape(x)[1:], stride, strict=True):
        start.append(int(b.rng.integers(side)))
        size.append(int(b.rng.integers(1, (side - 1 - start[-1]) // step_ + 2)))
    b.make("crop", [x], b.owners(x), top=start[0], left=start[1], stride=stride, size=tuple(size))


def subsampled(b: Builder, x: str) -> None:
    if len(b.shape(x)) == 3 and not b.gated(x):
        b.make("subsample", [x], stride=b.pick(1, 2, 3), before=b.pick(0, 1), after=b.pick(0, 2))


def normed(b: Builder, x: str) -> None:
    channels, owners = b.shape(x)[0], b.owners(x)
    groups = int(b.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    whole = [set(owners[g * channels // groups : (g + 1) * channels // groups]) for g in range(groups)]
    stored = {role: b.rng.normal(size=channels) for role in ("weight", "bias") if b.rng.random() < 0.6}
    if all(len(group) == 1 for group in whole):
        b.same("group_norm", x, stored, groups=groups, eps=0.1)
    if not b.gated(x):
        b.same("layer_norm", x, stored, eps=0.1)
        b.same("rms_norm", x, {role: stored[role] for role in stored if role == "weight"}, eps=0.1)
    if not b.gated(x) and len(b.shape(x)) == 3:
        b.same("response_norm", x, stored, eps=0.1)


def softmax(b: Builder, x: str) -> None:
    channels = b.shape(x)[0]
    if not b.gated(x):
        size = int(b.rng.choice([d for d in range(1, channels + 1) if channels % d == 0]))
        outer = int(b.rng.choice([d for d in range(1, channels + 1) if channels // size % d == 0]))
        b.same("softmax", x, outer=outer, size=size, inner=channels // size // outer)


def elementwise(b: Builder, x: str) -> None:
    how = b.rng.random()
    if how < 0.5:
        b.same("activation", x, function=b.pick(*ACTIVATIONS), alpha=float(b.rng.random()))
    elif how < 0.75:
        b.same("affine", x, scale=float(b.rng.normal()), shift=float(b.rng.normal()))
    else:
        b.same("prelu", x, {"weight": b.rng.normal(size=b.pick(1, b.shape(x)[0]))})


def constant(b: Builder, x: str) -> None:
    shape = b.shape(x) if b.rng.random() < 0.5 else b.shape(x)[:1]
    b.op("constant", [], shape, tensors={"bias": b.rng.normal(size=shape)})


def recurrent(b: Builder, x: str) -> None:
    if not b.gated(x):
        features = b.pooled(x) if len(b.shape(x)) == 3 else x
        hidden = b.pick(1, 4, 7)
        b.lstm(features, hidden, b.lstm(features, hidden))


STEPS: tuple[Callable[[Builder, str], None], ...] = (
    *(convolution, convolution, convolution, transposed, linear, linear, add, add, skipped_summand, multiply, factors),
    *(
        concat,
        concat,
        cut,
        shuffle,
        picked,
        select,
        select,
        reshape,
        pixels,
        window,
        resized,
        padded,
        cropped,
        subsampled,
    ),
    *(normed, softmax, elementwise, elementwise, constant, recurrent),
)
