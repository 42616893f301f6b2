"""Time several functions on the same images, in turns."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from .session import Session

TURN = 5  # timed calls in a row
PAUSE = 0.02  # seconds before a turn, so that the threads of the turn before go to sleep
WARM = 0.02  # seconds of calls that are not counted, at the beginning of a turn


def benchmark(
    contenders: Mapping[str, Callable[[np.ndarray], Any]],
    batches: Sequence[np.ndarray],
    repeats: int,
    pause: float = PAUSE,
) -> dict[str, list[float]]:
    """Seconds of each of `repeats` calls of each contender, by its name; a few more calls if needed for whole turns.

    Contenders take turns of a few calls, so a machine that slows down slows all of them. Each turn begins with at least
    one call that is not counted, to warm up threads and caches. Call i of every contender gets `batches[i]` (and starts
    again from the first batch at the end), so the lists can be compared pair by pair.

    Raises:
        InputError: there are no batches, or `repeats` is below 1.
    """
    if not batches:
        raise InputError("images: none to time with")
    if repeats < 1:
        raise InputError(f"repeats: {repeats} is not 1 or more")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for first in range(0, repeats, TURN):
        for name, call in contenders.items():
            time.sleep(pause)
            warm_up(call, batches, first)
            for i in range(first, first + TURN):
                batch = batches[i % len(batches)]
                started = time.perf_counter()
                call(batch)
                seconds[name].append(time.perf_counter() - started)
    return seconds


def warm_up(call: Callable[[np.ndarray], Any], batches: Sequence[np.ndarray], first: int = 0) -> None:
    """Calls that are not counted, with the batches before the first, for `WARM` seconds."""
    end = time.perf_counter() + WARM
    for back in itertools.count(1):
        call(batches[(first - back) % len(batches)])
        if time.perf_counter() >= end:
            return


def time_sessions(sessions: Mapping[str, "Session"], images: np.ndarray, rounds: int = 3) -> dict[str, float]:
    """Milliseconds for one image, the median over `images` [N, C, H, W] and `rounds`, by session.

    Raises:
        InputError: there are no images, or a session refuses them.
    """
    batches = [images[i : i + 1] for i in range(len(images))]
    seconds = benchmark({name: s.run for name, s in sessions.items()}, batches, rounds * len(batches), pause=0)
    return {name: 1e3 * statistics.median(taken) for name, taken in seconds.items()}
