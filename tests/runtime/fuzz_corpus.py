"""Writes tests/runtime/corpus: a small case for each kind of op and each way to compute a convolution.

    PYTHONPATH=tests python tests/runtime/fuzz_corpus.py

`make libfuzzer` begins with them. Files whose names begin with "found" are what it found: they stay.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from conformance.builder import Builder
from runtime.fuzz_cases import WHOLE, Case, encode

from sluicegate_runtime import Artifact, verify_program
from sluicegate_runtime.native import engine_lists
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS

CORPUS = Path(__file__).parent / "corpus"
IMAGE = (3, 6, 5)
Step = Callable[[Builder, str], str]  # (builder, a plane [8, 6, 5]) -> what the program returns

ONES = {"weight": np.ones(8), "bias": np.ones(8)}

OPS: dict[str, Step] = {
    "activation": lambda b, x: b.same("activation", x, function="elu", alpha=0.5),
    "adaptive_pool": lambda b, x: b.make("adaptive_pool", [x], b.owners(x), size=(4, 2), maximum=True),
    "add": lambda b, x: b.op("add", [x, b.same("affine", x), x], b.shape(x), b.owners(x), activation="silu"),
    "affine": lambda b, x: b.same("affine", x, scale=2.0, shift=-1.0),
    "avg_pool": lambda b, x: b.make("avg_pool", [x], b.owners(x), kernel=(3, 2), padding=(1, 0), count_padding=False),
    "channel_pool": lambda b, x: b.make("channel_pool", [x], function="max"),
    "concat": lambda b, x: b.make("concat", [x, x], b.owners(x) * 2),
    "constant": lambda b, x: b.make("multiply", [x, b.constant(8)], b.owners(x)),
    "conv": lambda b, x: b.conv(x, 8, (3, 2), (2, 1), 1, activation="relu"),
    "crop": lambda b, x: b.make("crop", [x], b.owners(x), top=1, left=1, stride=(2, 1), size=(2, 3)),
    "gate": lambda b, x: b.conv(x, 8, 1, gate=b.gate(x, 4, top_k=2, keep_open=1)),
    "global_pool": lambda b, x: b.make("global_pool", [x], b.owners(x), function="abs"),
    "group_norm": lambda b, x: b.same("group_norm", x, ONES, groups=4),
    "index_select": lambda b, x: b.make("index_select", [opened(b, x)], tensors={"weight": np.zeros(20)}),
    "layer_norm": lambda b, x: b.same("layer_norm", opened(b, x), ONES),
    "linear": lambda b, x: b.linear(b.flatten(opened(b, x)), 5, "gelu"),
    "lstm": lambda b, x: b.lstm(b.pooled(opened(b, x)), 2, b.lstm(b.pooled(opened(b, x)), 2)),
    "max_pool": lambda b, x: b.make("max_pool", [x], b.owners(x), kernel=(2, 2), stride=(2, 3), ceil=True),
    "multiply": lambda b, x: b.make("multiply", [x, b.pooled(x)], b.owners(x)),
    "pad": lambda b, x: b.make("pad", [x], b.owners(x), left=1, bottom=2, mode="reflect"),
    "pixel_shuffle": lambda b, x: b.make("pixel_shuffle", [opened(b, x)], factor=2),
    "pixel_unshuffle": lambda b, x: b.make("pixel_unshuffle", [b.conv(x, 2, 2)], factor=1),
    "prelu": lambda b, x: b.same("prelu", x, {"weight": np.ones(8)}),
    "reshape": lambda b, x: b.reshape(opened(b, x), (2, 12, 10)),
    "resize": lambda b, x: b.make("resize", [x], b.owners(x), size=(4, 7), mode="bilinear", align_corners=True),
    "response_norm": lambda b, x: b.same("response_norm", opened(b, x), ONES),
    "rms_norm": lambda b, x: b.same("rms_norm", opened(b, x), {"weight": np.ones(8)}),
    "select": lambda b, x: b.op("select", [x], b.shape(x), [b.owners(x)[0], *[None] * 7]),
    "shuffle": lambda b, x: b.make("shuffle", [opened(b, x)], groups=4),
    "slice": lambda b, x: b.make("slice", [x], b.owners(x)[2:5], start=2, size=3),
    "softmax": lambda b, x: b.same("softmax", opened(b, x), outer=2, size=2, inner=2),
    "subsample": lambda b, x: b.make("subsample", [opened(b, x)], stride=2, before=1, after=2),
    "transposed_conv": lambda b, x: b.make("transposed_conv", [x], None, UP, stride=(2, 2), padding=(1, 0)),
}
UP = {"weight": np.ones((8, 3, 3, 2)), "bias": np.ones(3)}


def opened(b: Builder, x: str) -> str:
    return b.op("select", [x], b.shape(x)) if b.gated(x) else x


def exit_early(b: Builder, x: str) -> str:
    """What "exit" is about: the answer of some images is another."""
    gate = b.gate(x, 1, "random")
    with b.under(unless=[gate]):
        early = b.linear(b.pooled(x), 3)
    b.exit(early, gate)
    return b.linear(b.pooled(x), 3)


def layers(b: Builder, x: str) -> str:
    """Layer gates, one in the other's region, and residuals."""
    x = opened(b, x)
    with b.under(b.gate(x, 1, "random")):
        with b.under(b.gate(x, 1, "random")):
            inner = b.conv(x, 8, 1)
        total = b.op("add", [x, inner], b.shape(x))
        return b.conv(b.conv(total, 8, gate=b.gate(x, 4, "random")), 8, residual=x, activation="relu")


def strips(b: Builder, x: str) -> str:
    """Ops of planes so high that they run strip by strip."""
    y = b.conv(b.stored(np.ones((3, 113, 5))), 3, 3, (2, 1), padding=(1, 0), groups=3, extra_padding=(0, 1))
    return b.conv(b.make("max_pool", [b.conv(y, 3, 1)], kernel=(3, 1), stride=(1, 1), padding=(1, 0)), 4, 1)


def curves(b: Builder, x: str) -> str:
    for function in ACTIVATIONS:
        x = b.same("activation", x, function=function, alpha=0.5)
    return x


def stem(b: Builder, x: str) -> str:
    """The first layer of a plane so high that it runs strip by strip, with the next one."""
    return b.conv(b.conv("v0", 8, 3, padding=0, extra_padding=(1, 2)), 8, 3, groups=8)


WAYS_TO_COMPUTE: dict[str, Step] = {
    "curves": curves,
    "layers": layers,
    "strips": strips,
    "stem": stem,
    "winograd": lambda b, x: b.conv(b.conv(b.make("resize", [x], b.owners(x), size=(12, 10)), 16), 16),
    "winograd_passes": lambda b, x: b.conv(
        b.conv(x, 70, 2, 4, padding=0), 70, gate=b.fixed([True, True, False, True, True] * 14)
    ),
    "depthwise": lambda b, x: b.conv(x, 8, 3, 2, groups=8, gate=b.owners(x), extra_padding=(1, 1), padding=0),
    "grouped": lambda b, x: b.conv(x, 12, 3, groups=4, dilation=2),
    "packed": lambda b, x: b.conv(x, 72, 3, gate=b.fixed([False, True] * 36), extra_padding=(-1, 1)),
    "packed_points": lambda b, x: b.conv(x, 96, 1, gate=b.fixed([False, True, True] * 32)),
    "packed_groups": lambda b, x: b.conv(x, 12, 3, groups=2, gate=b.fixed([True, False, True])),
    "inner": lambda b, x: b.conv(opened(b, x), 20, 3, gate=b.gate(x, 20, "random")),
    "inner_passes": lambda b, x: b.conv(b.conv(x, 130, 1), 3, 3, gate=b.fixed([True, True, False])),
    "exit_taken": exit_early,
    "max_pool_of_nine": lambda b, x: b.make("max_pool", [x], b.owners(x), kernel=(3, 3), stride=(1, 1)),
    "multiply_pixels": lambda b, x: b.make("multiply", [x, b.make("channel_pool", [x], function="sum")], b.owners(x)),
    "pad_circular": lambda b, x: b.make("pad", [x], b.owners(x), left=2, top=1, mode="circular"),
    "pad_constant": lambda b, x: b.make("pad", [x], b.owners(x), right=2, top=1, fill=0.5),
    "resize_nearest": lambda b, x: b.make("resize", [x], b.owners(x), size=(9, 3), mode="nearest"),
}
IMAGES = {"stem": (2, 113, 5), "strips": (3, 2, 2)}
THRESHOLDS = {"exit_taken": 255}
LARGE_L1 = 64


def _from(kind: str) -> int:
    return WHOLE if kind == "index_select" else 9


def written(name: str, step: Step, ways: int) -> bytes:
    """A program around one step, as a case; channels of what it reads are gated, unless the image may leave early."""
    b = Builder(np.random.default_rng(0))
    image = b.value(IMAGES.get(name, IMAGE))
    gate = None if step is exit_early else b.fixed([True, False, True, True])
    y = step(b, b.conv(image, 8, 3, gate=gate))
    program = b.program(image, opened(b, y))
    verify_program(program, b.tensors)
    values, ops, first, outputs = engine_lists(Artifact(program, b.tensors))
    drawn = [(*op[:7], *(array if array is None else (array.shape, _from(op[1])) for array in op[7:])) for op in ops]
    return encode(Case(ways, THRESHOLDS.get(name, 0), 1, values, drawn, first, outputs))


def cases() -> dict[str, bytes]:
    """File name -> content: with every algorithm made ready; instruction sets, sizes of L1 and threads take turns."""
    steps = {**OPS, "exit": exit_early, **WAYS_TO_COMPUTE}
    ways = (4 + 16 * (i % 3) + 3 * (i % 5 == 0) + LARGE_L1 * (i % 2) for i in range(len(steps)))
    return {name: written(name, step, way) for (name, step), way in zip(steps.items(), ways, strict=True)}


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for name, content in cases().items():
        (CORPUS / name).write_bytes(content)
