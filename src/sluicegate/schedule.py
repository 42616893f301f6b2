"""Schedules: training progress in [0, 1] -> a value (a weight, a temperature, a target, a learning-rate factor).

constant(v)(p)    = v
linear(a, b)(p)   = a + (b - a) u                     u = clamp((p - begin) / (finish - begin), 0, 1)
cosine(a, b)(p)   = a + (b - a) (1 - cos(pi u)) / 2
geometric(a, b)(p) = a (b / a)^u
polynomial(a, b, k)(p) = b + (a - b) (1 - u)^k
steps({at: v})(p) = v of the last `at` <= p
staircase(a, b, by, every)(p) = a, moved towards b by `by` after each `every`
"""

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluicegate.errors import InputError

Schedule = Callable[[float], float]

_ROUNDING = 1e-9  # of counts made from floats: 0.6 / 0.2 is a little less than 3


@dataclass(frozen=True)
class Constant:
    """The same value all through."""

    value: float

    def __call__(self, progress: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """A straight line from `start` to `end` while progress goes from `begin` to `finish`; flat outside."""

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        _check_span("linear", self.begin, self.finish)

    def __call__(self, progress: float) -> float:
        return _blend(self.start, self.end, _position(progress, self.begin, self.finish))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine wave from `start` to `end` while progress goes from `begin` to `finish`; flat outside."""

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        _check_span("cosine", self.begin, self.finish)

    def __call__(self, progress: float) -> float:
        position = _position(progress, self.begin, self.finish)
        return _blend(self.start, self.end, (1 - math.cos(math.pi * position)) / 2)


@dataclass(frozen=True)
class Geometric:
    """From `start` to `end` by equal factors while progress goes from `begin` to `finish`; flat outside."""

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        _check_span("geometric", self.begin, self.finish)
        if not (self.start > 0 and self.end > 0):
            raise InputError(f"geometric: start={self.start}, end={self.end}; both must be greater than 0")

    def __call__(self, progress: float) -> float:
        return self.start * (self.end / self.start) ** _position(progress, self.begin, self.finish)


@dataclass(frozen=True)
class Polynomial:
    """From `start` to `end` as (1 - u)^power falls, while progress goes from `begin` to `finish`; flat outside."""

    start: float
    end: float
    power: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        _check_span("polynomial", self.begin, self.finish)
        if not self.power > 0:
            raise InputError(f"polynomial: power={self.power} must be greater than 0")

    def __call__(self, progress: float) -> float:
        return _blend(self.end, self.start, (1 - _position(progress, self.begin, self.finish)) ** self.power)


@dataclass(frozen=True)
class Steps:
    """A staircase: `levels` holds (at, value) in rising order of `at`, the first at 0."""

    levels: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        places = [at for at, _ in self.levels]
        if not places or places[0] != 0 or places != sorted(set(places)) or places[-1] > 1:
            raise InputError(f"steps: {places} are the places; they start at 0, rise, and end at 1 or before")

    def __call__(self, progress: float) -> float:
        return next(value for at, value in reversed(self.levels) if at <= max(progress, 0.0))


def constant(value: float) -> Schedule:
    """`value` at every progress."""
    return Constant(value)


def linear(start: float, end: float, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` at progress `begin` to `end` at `finish`, in a straight line.

    Raises:
        InputError: not 0 <= begin < finish <= 1.
    """
    return Linear(start, end, begin, finish)


def cosine(start: float, end: float, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` at progress `begin` to `end` at `finish`, along half a cosine wave.

    Raises:
        InputError: not 0 <= begin < finish <= 1.
    """
    return Cosine(start, end, begin, finish)


def steps(values: Mapping[float, float]) -> Schedule:
    """`{at: value}`: each value holds from progress `at` to the next one.

    Raises:
        InputError: no place is 0, or one lies outside [0, 1].
    """
    return Steps(tuple(sorted(values.items())))


def staircase(start: float, end: float, by: float, every: float) -> Schedule:
    """From `start` towards `end` in steps of `by`, one after each `every` of training, and no further.

    Stochastic gates, section S1.1, anneals targets so: `staircase(1.0, 0.4, by=0.05, every=5 / epochs)`.

    Raises:
        InputError: `by` is not greater than 0, or the end would not be reached before training ends.
    """
    if not (by > 0 and every > 0):
        raise InputError(f"staircase: by={by}, every={every}; both must be greater than 0")
    count = math.ceil(abs(end - start) / by - _ROUNDING)
    if count * every > 1:
        raise InputError(f"staircase: {count} steps of every={every} end at {count * every:g}; the rule is 1 or before")
    levels = [start + math.copysign(n * by, end - start) for n in range(count)] + [end]
    return steps({round(n * every, 12): level for n, level in enumerate(levels)})


def geometric(start: float, end: float, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` at progress `begin` to `end` at `finish`, by equal factors: exponential decay.

    Stochastic gates, section 4.1, decays learning rates by 0.99 an epoch: `geometric(1, 0.99**epochs)`.

    Raises:
        InputError: not 0 <= begin < finish <= 1, or `start` or `end` is not greater than 0.
    """
    return Geometric(start, end, begin, finish)


def polynomial(start: float, end: float, power: float, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` at progress `begin` to `end` at `finish`, as (1 - u)^power falls from 1 to 0.

    Batch shaping, section B.3, decays learning rates so: `polynomial(1, 0, power=0.9)`.

    Raises:
        InputError: not 0 <= begin < finish <= 1, or `power` is not greater than 0.
    """
    return Polynomial(start, end, power, begin, finish)


_BY_NAME: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "geometric": geometric,
    "polynomial": polynomial,
    "steps": steps,
    "staircase": staircase,
}


def parse_schedule(text: str | float | Schedule) -> Schedule:
    """A schedule from what a YAML file holds: `0.05`, `"0.05"`, `"linear(0.75, 0)"`, `"steps({0: 1, 0.5: 0.1})"`.

    A schedule passes through. Only literals are read; nothing is evaluated.

    Raises:
        InputError: the text is neither a number nor a call of a known schedule with literal arguments.
    """
    if callable(text):
        return text
    try:
        return _read(ast.parse(str(text).strip(), mode="eval").body)
    except InputError:
        raise
    except (SyntaxError, ValueError, TypeError, AttributeError) as error:
        known = ", ".join(_BY_NAME)
        raise InputError(f"schedule: {text!r} is neither a number nor a call of one of {known}") from error


def _read(node: ast.expr) -> Schedule:
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _BY_NAME:
            named = {word.arg: _literal(word.value) for word in keywords if word.arg}
            return _BY_NAME[name](*map(_literal, args), **named)
        case _:
            return constant(float(_literal(node)))


def _literal(node: ast.expr) -> Any:
    """A finite number, or a dict of such."""
    value = ast.literal_eval(node)
    for number in [*value, *value.values()] if isinstance(value, dict) else [value]:
        if not math.isfinite(number):
            raise ValueError(f"{number} is not finite")
    return value


def _check_span(name: str, begin: float, finish: float) -> None:
    if not 0 <= begin < finish <= 1:
        raise InputError(f"{name}: begin={begin}, finish={finish}; the rule is 0 <= begin < finish <= 1")


def _position(progress: float, begin: float, finish: float) -> float:
    return min(max((progress - begin) / (finish - begin), 0.0), 1.0)


def _blend(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
