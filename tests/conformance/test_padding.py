"""More padding on one side of the plane, or less, in every way to compute a convolution."""

from collections.abc import Callable

import numpy as np
import pytest
from conformance.builder import Builder

from sluicegate_runtime import Artifact, Session, run_reference

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

Step = Callable[..., str]  # (builder, [16, H, W], stride, padding and extra_padding) -> a plane


def gated(b: Builder, x: str, channels: int) -> str:
    return b.conv(x, channels, 1, gate=b.fixed([c % 3 != 1 for c in range(channels)]))


ALGORITHMS: dict[str, Step] = {
    "dense": lambda b, x, stride, **how: b.conv(x, 40, 3, stride, **how),
    "dense, any kernel": lambda b, x, stride, **how: b.conv(x, 20, (3, 4), stride, **how),
    "gated in": lambda b, x, stride, **how: b.conv(gated(b, x, 40), 16, 3, stride, **how),
    "gated out": lambda b, x, stride, **how: b.conv(x, 40, 3, stride, gate=b.fixed([True, False] * 20), **how),
    "both": lambda b, x, stride, **how: b.conv(
        gated(b, x, 40), 40, 3, stride, gate=b.fixed([True] * 39 + [False]), **how
    ),
    "whole blocks": lambda b, x, stride, **how: b.conv(x, 48, 3, stride, gate=b.fixed([True, False, True]), **how),
    "grouped": lambda b, x, stride, **how: b.conv(x, 12, 3, stride, groups=4, **how),
    "packed groups": lambda b, x, stride, **how: b.conv(x, 12, 3, stride, groups=2, gate=b.fixed([True, False]), **how),
    "depthwise": lambda b, x, stride, **how: b.conv(x, 16, 3, stride, groups=16, **how),
    "depthwise of 5": lambda b, x, stride, **how: b.conv(x, 16, 5, stride, groups=16, **how),
    "depthwise, gated": lambda b, x, stride, **how: _gated_depthwise(b, x, stride, how),
    "dilated": lambda b, x, stride, **how: b.conv(x, 16, 3, stride, dilation=2, **how),
    "residual": lambda b, x, stride, **how: _residual(b, x, stride, how),
    "stem": lambda b, x, stride, **how: b.conv("v0", 20, 3, stride, **how),
    "strips": lambda b, x, stride, **how: _strips(b, stride, how),
}
WINDOWS = [((0, 0), (1, 1)), ((1, 1), (-1, 1)), ((1, 2), (1, -2)), ((2, 0), (-2, 2)), ((1, 1), (0, 0))]


def _gated_depthwise(b: Builder, x: str, stride: int, how: dict) -> str:
    y = gated(b, x, 40)
    return b.conv(y, 40, 3, stride, groups=40, gate=b.owners(y), **how)


def _residual(b: Builder, x: str, stride: int, how: dict) -> str:
    return b.conv(x, 16, 3, stride, residual=b.conv(x, 16, 3, stride, **how), activation="relu", **how)


def _strips(b: Builder, stride: int, how: dict) -> str:
    """Each op hands its rows to the next one."""
    y = b.conv(b.stored(np.ones((8, 130, 9))), 8, 1)
    y = b.conv(y, 8, 3, groups=8, **how)
    return b.conv(b.conv(y, 8, 3, (1, stride), groups=8, **how), 8, 1)


def program(step: Step, sides: tuple[int, int], stride: int, window: tuple) -> Artifact:
    b = Builder(np.random.default_rng(0))
    image = b.value((3, *sides))
    y = step(b, b.conv(image, 16, 1), stride, padding=window[0], extra_padding=window[1])
    b.op("select", [y], b.shape(y))
    return Artifact(b.program(image, list(b.values)[-1]), b.tensors)


@pytest.mark.cases(8)
@pytest.mark.parametrize("isa", engine.isas())
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_agrees_with_the_reference(name, isa, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_ISA", isa)
    for sides in ((9, 8), (31, 29), (6, 33)):
        for stride in (1, 2):
            for window in WINDOWS:
                artifact = program(ALGORITHMS[name], sides, stride, window)
                images = np.random.default_rng(1).normal(size=(1, 3, *sides)).astype(np.float32)
                wanted = run_reference(artifact.program, artifact.tensors, images)
                found = [Session(artifact, threads=threads, engine="native").run(images) for threads in (1, 3)]
                atol = 1e-5 * np.abs(wanted.output).max(initial=1.0)
                np.testing.assert_allclose(found[0].output, wanted.output, rtol=0, atol=atol, err_msg=str(window))
                assert np.array_equal(found[0].output, found[1].output), window
                assert np.array_equal(found[0].macs, wanted.macs)
