"""Windows that go over a plane, for convolutions and pools.

A window of k taps, d apart, reaches over (k - 1) d + 1 pixels; one starts every s pixels, the first p before the plane.
A convolution may have e more zeros below and right of the plane, p + e there.
"""

from collections.abc import Sequence

import numpy as np

from .limits import MAX_SIDE, MAX_STRIDE
from .room import Given

Pair = tuple[int, int]
Sides = Sequence[int]  # two of them


def reaches(kernel: Pair, dilation: Pair) -> Pair:
    """How many pixels a window spans, along each side."""
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def check_window(given: Given, reach: Pair, *steps: Pair) -> None:
    """InputError unless strides and dilations are from 1, and nothing reaches too far."""
    given.require(min(min(step) for step in steps) > 0, "stride and dilation from 1, padding from 0")
    given.require(max(reach) <= MAX_SIDE, f"kernel reaches over {max(reach)} pixels, at most {MAX_SIDE}")
    given.require(max(steps[0]) <= MAX_STRIDE, f"stride is {max(steps[0])}, at most {MAX_STRIDE}")


def count_windows(given: Given, sides: Pair, reach: Pair, ceil: bool = False) -> Pair:
    """How many windows fit along each side, by the op's stride and padding; with `ceil` also a last one that starts
    inside and hangs over the end."""
    has = given.has
    by_side = zip(sides, reach, has["stride"], has["padding"], has.get("extra_padding", (0, 0)), strict=True)
    counts = [_count(given, *side, ceil) for side in by_side]
    return counts[0], counts[1]


def _count(given: Given, side: int, reach: int, stride: int, padding: int, extra: int, ceil: bool) -> int:
    for zeros in (padding, padding + extra):
        given.require(zeros >= 0, "stride and dilation from 1, padding from 0")
        given.require(zeros < reach, f"padding {zeros} must be less than the kernel's reach {reach}")
    whole = side + 2 * padding + extra
    room = whole - reach
    given.require(room >= 0, f"the kernel's reach {reach} exceeds the padded side {whole}")
    count = room // stride + 1
    return count + bool(ceil and room % stride and count * stride < side + padding)


def taps(x: np.ndarray, kernel: Sides, stride: Pair, dilation: Pair, count: Sides) -> np.ndarray:
    """[C, H, W], padded as far as the windows go -> [C, kh, kw, OH, OW]: what each tap of the kernel sees."""
    rows, columns = (
        np.arange(k)[:, None] * d + np.arange(n) * s for k, s, d, n in zip(kernel, stride, dilation, count, strict=True)
    )  # [kh, OH], [kw, OW]
    return x[:, rows[:, None, :, None], columns[None, :, None, :]]


def padded(
    x: np.ndarray, padding: Pair, kernel: Sides, stride: Pair, dilation: Pair, count: Sides, fill: float
) -> np.ndarray:
    """`x` with `fill` around it, at least as far as its windows go."""
    width = [(0, 0)]
    sides = zip(x.shape[1:], padding, kernel, stride, dilation, count, strict=True)
    for side, before, k, step, d, n in sides:
        width.append((before, max(0, (n - 1) * step + (k - 1) * d + 1 - side - before)))
    return np.pad(x, width, constant_values=fill)


def check_pool(given: Given, dilation: Pair = (1, 1)) -> Pair:
    """The reach of a pool's windows. InputError unless kernel, stride and padding are such as torch takes."""
    kernel, padding = given.has["kernel"], given.has["padding"]
    given.require(min(kernel) > 0, "kernel and stride from 1, padding from 0")
    reach = reaches(kernel, dilation)
    check_window(given, reach, given.has["stride"], dilation)
    given.require(all(2 * p <= r for p, r in zip(padding, reach, strict=True)), "padding is at most half the kernel")
    return reach
