"""A child of fork has a copy of its parent's sessions, but not the threads: it frees them, or runs them on its own."""

import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest
from conformance.generate import random_program
from conformance.test_engine import images_for

from sluicegate_runtime import Artifact, Session

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]

HANGS = 30  # seconds


def survives(action: Callable[[], object]) -> bool:
    """Whether a child that does this, and nothing else, comes to its end."""
    child = os.fork()
    if child == 0:
        signal.alarm(HANGS)
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture
def sessions() -> list[Session]:
    return [Session(Artifact(*random_program(3)), threads=2)]


def test_a_child_frees_a_session(sessions):
    assert survives(sessions.clear)


def test_a_child_runs_a_session(sessions):
    images = images_for(sessions[0].program, 3, 3)
    expected = sessions[0].run(images).output

    def run() -> None:
        np.testing.assert_array_equal(sessions[0].run(images).output, expected)
        sessions.clear()

    assert survives(run)
    assert survives(lambda: survives(run) or os._exit(1))
    np.testing.assert_array_equal(sessions[0].run(images).output, expected)


def test_a_child_runs_a_session_that_another_thread_was_running(sessions):
    images = images_for(sessions[0].program, 3, 500)
    stop = threading.Event()

    def again_and_again() -> None:
        while not stop.is_set():
            sessions[0].run(images)

    runner = threading.Thread(target=again_and_again)
    runner.start()
    try:
        assert all(survives(lambda: sessions[0].run(images[:1])) for _ in range(5))
        assert survives(sessions.clear)
    finally:
        stop.set()
        runner.join()
