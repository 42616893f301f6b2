"""Contenders are timed side by side."""

import numpy as np
import pytest

from sluicegate_runtime import InputError, benchmark, time_sessions
from sluicegate_runtime.timing import TURN, WARM


class Counting:
    """Stands in for a session: notes what it is given, and takes as long as it is told."""

    def __init__(self, log: list[tuple[str, int]], name: str, seconds: float, clock: "list[float]") -> None:
        self.log, self.name, self.seconds, self.clock = log, name, seconds, clock

    def run(self, images: np.ndarray) -> None:
        assert images.shape == (1, 3, 4, 4)
        self.log.append((self.name, int(images[0, 0, 0, 0])))
        self.clock[0] += self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("sluicegate_runtime.timing.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("sluicegate_runtime.timing.time.sleep", lambda seconds: None)
    return clock


def numbered(count: int) -> np.ndarray:
    """Images [N, 3, 4, 4], each full of its own number."""
    return np.ones((count, 3, 4, 4), np.float32) * np.arange(count, dtype=np.float32)[:, None, None, None]


def test_contenders_take_turns_over_the_same_images_and_are_woken_first(clock):
    log: list[tuple[str, int]] = []
    contenders = {name: Counting(log, name, seconds, clock).run for name, seconds in (("slow", 0.25), ("fast", 0.125))}
    found = benchmark(contenders, list(numbered(3)[:, None]), repeats=TURN + 1)
    assert found == {"slow": [0.25] * 2 * TURN, "fast": [0.125] * 2 * TURN}
    turns = [[(first - 1) % 3, *(i % 3 for i in range(first, first + TURN))] for first in (0, TURN)]
    assert log == [(name, image) for turn in turns for name in contenders for image in turn]


def test_short_calls_are_repeated_until_they_are_warm(clock):
    log: list[tuple[str, int]] = []
    contender = Counting(log, "short", WARM / 4, clock).run
    found = benchmark({"short": contender}, list(numbered(TURN)[:, None]), repeats=TURN)
    assert len(found["short"]) == TURN and len(log) == 4 + TURN


def test_sessions_are_timed_image_by_image(clock):
    sessions = {name: Counting([], name, seconds, clock) for name, seconds in (("slow", 0.25), ("fast", 0.125))}
    found = time_sessions(sessions, numbered(2), rounds=3)  # type: ignore[arg-type]
    assert found == {"slow": 250.0, "fast": 125.0}


def test_no_images_or_no_repeats_are_refused():
    with pytest.raises(InputError, match="images: none"):
        time_sessions({}, numbered(0))
    with pytest.raises(InputError, match="repeats: 0"):
        benchmark({}, [numbered(1)], repeats=0)
