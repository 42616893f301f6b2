"""The definition of every op: a slow interpreter in NumPy to which each faster executor answers.

Everything is computed in float64, one sample at a time, channels that a gate closed set to zero after the op
that writes them. Multiply-adds are counted as executed: a convolution counts

    kh * kw * OH * OW * sum over groups of (open input channels * open output channels),

a linear layer open inputs * outputs, an LSTM cell the elements of its weight, the pooling of a gate head
(`counted`) its open C * H * W; network pools, sums and activations are not counted, and an op that was
skipped counts nothing.

C channels, H height, W width, F features, G gates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import InputError
from .program import Op, Program, Value
from .result import Result
from .spec import Attributes, attributes_of, verify_program


def run_reference(
    program: Program, tensors: Mapping[str, np.ndarray], images: np.ndarray, threshold: float | None = None
) -> Result:
    """Runs `images` [N, C, H, W] float32. `threshold` in [0, 1] replaces the threshold of every gate that has one: it
    is open where sigmoid(logit) > threshold. InputError if the program or the shape of `images` is
    refused."""
    verify_program(program, tensors)
    check_images(program, images)
    cut = None if threshold is None else logit_of(threshold)
    values = {value.name: value for value in program.values}
    samples = [_run_sample(_Sample(program, values, tensors, cut), image) for image in images]
    shape = values[program.output].shape
    gates = [value for value in program.values if value.kind == "gate"]
    return Result(
        output=np.array([sample.output for sample in samples], np.float32).reshape(-1, *shape),
        macs=np.array([sample.macs for sample in samples], np.int64),
        exits=np.array([sample.exit for sample in samples], np.int64),
        gates={
            gate.name: np.array([sample.is_open(gate.name) for sample in samples], bool).reshape(-1, *gate.shape)
            for gate in gates
        },
    )


def check_images(program: Program, images: np.ndarray) -> None:
    """InputError unless `images` is a float32 array [N, C, H, W] of the program's input shape."""
    check_array("images", images, ("N", *program.shape(program.input)))


def check_array(name: str, array: np.ndarray, shape: tuple[int | str, ...]) -> None:
    """InputError unless an argument is a float32 array of this shape; a letter stands for any length."""
    known = isinstance(array, np.ndarray)
    fits = known and len(array.shape) == len(shape) and array.dtype == np.float32
    if not fits or any(isinstance(side, int) and side != own for side, own in zip(shape, array.shape, strict=True)):
        found = f"{array.dtype} {array.shape}" if known else type(array).__name__
        raise InputError(f"{name}: {found} is not a float32 array [{', '.join(map(str, shape))}]")


def logit_of(threshold: float) -> float:
    """The logit at which a gate opens: log(t / (1 - t)); -inf at 0, inf at 1. InputError outside [0, 1]."""
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold: {threshold} is not in [0, 1]")
    with np.errstate(divide="ignore"):
        return float(np.log(threshold) - np.log1p(-threshold))


@dataclass
class _Sample:
    """One image on its way through the program."""

    program: Program
    values: Mapping[str, Value]
    tensors: Mapping[str, np.ndarray]
    threshold: float | None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # tensors float64, gates bool; absent if skipped
    macs: int = 0
    exit: int = -1
    output: np.ndarray | None = None

    def is_open(self, gate: str) -> np.ndarray:
        """[G] bool; a gate that was not evaluated is closed."""
        return self.arrays.get(gate, np.zeros(self.values[gate].shape, bool))

    def open_channels(self, value: str) -> np.ndarray:
        """[C] bool: the channels of a tensor that its gate leaves open."""
        entry = self.values[value]
        if entry.gate is None:
            return np.ones(entry.shape[0], bool)
        flags = self.is_open(entry.gate)
        return np.repeat(flags, entry.shape[0] // len(flags))

    def tensor(self, op: Op, role: str) -> np.ndarray:
        return self.tensors[op.tensors[role]].astype(np.float64)

    def bias(self, op: Op) -> np.ndarray:
        return self.tensor(op, "bias") if "bias" in op.tensors else np.zeros(len(self.tensor(op, "weight")))


def _run_sample(sample: _Sample, image: np.ndarray) -> _Sample:
    sample.arrays[sample.program.input] = image.astype(np.float64)
    exits = 0
    for op in sample.program.ops:
        if op.kind == "exit":
            if sample.is_open(op.inputs[1])[0]:
                sample.exit, sample.output = exits, sample.arrays[op.inputs[0]]
                return sample
            exits += 1
        else:
            _run_op(op, sample)
    sample.output = sample.arrays[sample.program.output]
    return sample


def _run_op(op: Op, sample: _Sample) -> None:
    assert op.output is not None
    has = attributes_of(op)
    skipped = op.when is not None and not sample.is_open(op.when)[0]
    if not skipped:
        array = EXECUTORS[op.kind](op, has, sample)
    elif len(op.inputs) == 2 and op.kind == "conv":
        array = activate(sample.arrays[op.inputs[1]], has["activation"])
    else:
        return
    if sample.values[op.output].kind == "tensor":
        array = np.where(_column(sample.open_channels(op.output), array), array, 0.0)
    sample.arrays[op.output] = array


def _column(per_channel: np.ndarray, array: np.ndarray) -> np.ndarray:
    return per_channel.reshape(-1, *[1] * (array.ndim - 1))


def activate(x: np.ndarray, name: str) -> np.ndarray:
    """The activation functions, elementwise."""
    if name == "relu":
        return np.maximum(x, 0)
    if name == "relu6":
        return np.clip(x, 0, 6)
    if name == "silu":
        return x * _sigmoid(x)
    if name == "hardswish":
        return x * np.clip(x + 3, 0, 6) / 6
    return _sigmoid(x) if name == "sigmoid" else x


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # never overflows


def _conv(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    x, weight = sample.arrays[op.inputs[0]], sample.tensor(op, "weight")  # [C, H, W], [O, C / groups, kh, kw]
    groups = has["groups"]
    windows = _windows(x, weight.shape[2:], has["stride"], has["padding"], has["dilation"], 0.0)
    out = windows.shape[3:]
    columns = windows.reshape(groups, -1, out[0] * out[1])  # [groups, C / groups * kh * kw, OH * OW]
    rows = weight.reshape(groups, -1, columns.shape[1])  # [groups, O / groups, C / groups * kh * kw]
    y = (rows @ columns).reshape(-1, *out) + sample.bias(op)[:, None, None]
    if has["counted"]:
        _count_conv(op, groups, out, weight, sample)
    if len(op.inputs) == 2:
        y = y + sample.arrays[op.inputs[1]]
    return activate(y, has["activation"])


def _count_conv(op: Op, groups: int, out: tuple[int, ...], weight: np.ndarray, sample: _Sample) -> None:
    open_in = sample.open_channels(op.inputs[0]).reshape(groups, -1).sum(1)
    open_out = sample.open_channels(str(op.output)).reshape(groups, -1).sum(1)
    sample.macs += int(open_in @ open_out) * int(np.prod(out)) * int(np.prod(weight.shape[2:]))


def _windows(x, kernel, stride, padding, dilation, fill: float) -> np.ndarray:
    """[C, H, W] -> [C, kh, kw, OH, OW]: what each tap of the kernel sees."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    height = (padded.shape[1] - (kernel[0] - 1) * dh - 1) // sh + 1
    width = (padded.shape[2] - (kernel[1] - 1) * dw - 1) // sw + 1
    taps = [
        [padded[:, r * dh : r * dh + (height - 1) * sh + 1 : sh, s * dw : s * dw + (width - 1) * sw + 1 : sw]
         for s in range(kernel[1])]
        for r in range(kernel[0])
    ]  # fmt: skip
    return np.array(taps).transpose(2, 0, 1, 3, 4)


def _linear(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    weight = sample.tensor(op, "weight")  # [O, F]
    sample.macs += int(sample.open_channels(op.inputs[0]).sum()) * len(weight)
    return activate(weight @ sample.arrays[op.inputs[0]] + sample.bias(op), has["activation"])


def _max_pool(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    x = sample.arrays[op.inputs[0]]
    height, width = sample.values[str(op.output)].shape[1:]
    (kh, kw), (sh, sw), (ph, pw) = has["kernel"], has["stride"], has["padding"]
    # `ceil` lets the last window hang over the end: pad far enough for it, no further.
    below = max(0, (height - 1) * sh + kh - x.shape[1] - ph)
    right = max(0, (width - 1) * sw + kw - x.shape[2] - pw)
    padded = np.pad(x, ((0, 0), (ph, below), (pw, right)), constant_values=-np.inf)
    windows = _windows(padded, (kh, kw), (sh, sw), (0, 0), (1, 1), -np.inf)
    return windows.max((1, 2))[:, :height, :width]


def _avg_pool(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    x, kernel = sample.arrays[op.inputs[0]], has["kernel"]
    sums = _windows(x, kernel, has["stride"], has["padding"], (1, 1), 0.0).sum((1, 2))
    if has["count_padding"]:
        return sums / (kernel[0] * kernel[1])
    ones = np.ones((1, *x.shape[1:]))
    return sums / _windows(ones, kernel, has["stride"], has["padding"], (1, 1), 0.0).sum((1, 2))


def _global_pool(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    x = sample.arrays[op.inputs[0]]
    if has["counted"]:
        sample.macs += int(sample.open_channels(op.inputs[0]).sum()) * x.shape[1] * x.shape[2]
    return (np.abs(x) if has["absolute"] else x).mean((1, 2))


def _add(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    present = [sample.arrays[name] for name in op.inputs if name in sample.arrays]
    return activate(np.sum(present, axis=0), has["activation"])


def _concat(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return np.concatenate([sample.arrays[name] for name in op.inputs])


def _activation(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return activate(sample.arrays[op.inputs[0]], has["function"])


def _resize(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    """Bilinear, as torch.nn.functional.interpolate defines it."""
    x = sample.arrays[op.inputs[0]]
    for axis, size in enumerate(has["size"], start=1):
        low, high, part = resize_taps(x.shape[axis], size, bool(has["align_corners"]))
        part = part if axis == 2 else part[:, None]
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


def resize_taps(side: int, size: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output position: its lower and upper neighbour, and the share of the upper one."""
    if align_corners:
        position = np.arange(size) * ((side - 1) / (size - 1) if size > 1 else 0.0)
    else:
        position = np.maximum((np.arange(size) + 0.5) * (side / size) - 0.5, 0.0)
    low = np.minimum(position.astype(np.int64), side - 1)
    return low, np.minimum(low + 1, side - 1), position - low


def _subsample(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    """The parameter-free shortcut "A" of He et al.: every stride-th pixel, zero channels before and after."""
    stride = has["stride"]
    kept = sample.arrays[op.inputs[0]][:, ::stride, ::stride]
    return np.pad(kept, ((has["before"], has["after"]), (0, 0), (0, 0)))


def _flatten(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return sample.arrays[op.inputs[0]].reshape(-1)


def _select(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return sample.arrays[op.inputs[0]]  # its output names the gate, and so loses the closed channels


def _lstm(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    """One step of an LSTM, gates in torch's order: z = W [x; h] + b;  c' = s(z_f) c + s(z_i) tanh(z_g);
    h' = s(z_o) tanh(c').  The state is one vector [h; c]; without one h = c = 0, and W meets x alone."""
    weight = sample.tensor(op, "weight")  # [4H, F] or [4H, F + H]
    x, *state = (sample.arrays[name] for name in op.inputs)
    h, c = np.split(state[0], 2) if state else (np.zeros(0), np.zeros(len(weight) // 4))
    sample.macs += weight.size
    i, f, g, o = np.split(weight @ np.concatenate([x, h]) + sample.bias(op), 4)  # [H] each
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return np.concatenate([_sigmoid(o) * np.tanh(c), c])


def _slice(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return sample.arrays[op.inputs[0]][: has["size"]]


def _gate(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    """Above the threshold; with `top_k` the k largest whatever the threshold, of equals the first."""
    if has["top_k"]:
        logits = sample.arrays[op.inputs[0]]
        return np.isin(np.arange(len(logits)), np.argsort(-logits, kind="stable")[: has["top_k"]])
    cut = has["threshold"] if sample.threshold is None else sample.threshold
    return sample.arrays[op.inputs[0]] > cut


def _constant(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    return sample.tensor(op, "bias")


def _scale(op: Op, has: Attributes, sample: _Sample) -> np.ndarray:
    """Channels times factors, each of which serves C / G adjacent channels."""
    x, factors = (sample.arrays[name] for name in op.inputs)
    return x * _column(np.repeat(factors, len(x) // len(factors)), x)


EXECUTORS: dict[str, Callable[[Op, Attributes, _Sample], np.ndarray]] = {
    "conv": _conv,
    "linear": _linear,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
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
    "constant": _constant,
    "scale": _scale,
}
