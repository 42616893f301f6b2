"""Sessions are timed side by side."""

import numpy as np
import pytest

from sluicegate_runtime import InputError, time_sessions


class Counting:
    """Stands in for a session: notes what it is given, and takes as long as it is told."""

    def __init__(self, log: list[str], name: str, seconds: float, clock: "list[float]") -> None:
        self.log, self.name, self.seconds, self.clock = log, name, seconds, clock

    def run(self, images: np.ndarray) -> None:
        assert images.shape == (1, 3, 4, 4)
        self.log.append(self.name)
        self.clock[0] += self.seconds


def test_sessions_take_turns_and_the_first_round_is_not_counted(monkeypatch):
    log, clock = [], [0.0]
    monkeypatch.setattr("sluicegate_runtime.timing.time.perf_counter", lambda: clock[0])
    sessions = {name: Counting(log, name, seconds, clock) for name, seconds in (("slow", 0.25), ("fast", 0.125))}
    found = time_sessions(sessions, np.zeros((2, 3, 4, 4), np.float32), rounds=3)  # type: ignore[arg-type]
    assert found == {"slow": 250.0, "fast": 125.0}
    assert log == ["slow", "fast"] * 2 * 4


def test_no_images_are_refused():
    with pytest.raises(InputError, match="images: none"):
        time_sessions({}, np.zeros((0, 3, 4, 4), np.float32))
