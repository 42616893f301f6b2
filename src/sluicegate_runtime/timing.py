"""How long sessions take for one image, side by side."""

import statistics
import time
from collections.abc import Mapping

import numpy as np

from .errors import InputError
from .session import Session


def time_sessions(sessions: Mapping[str, Session], images: np.ndarray, rounds: int = 3) -> dict[str, float]:
    """Milliseconds for one image, the median over `images` [N, C, H, W] and `rounds`, by session.

    The sessions take turns at every image, so a machine that slows down slows all of them; a first round is not
    counted. InputError where there are no images, or a session refuses them.
    """
    if not len(images):
        raise InputError("images: none to time a session with")
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds + 1):
        for i in range(len(images)):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(images[i : i + 1])
                if turn:
                    times[name].append(time.perf_counter() - started)
    return {name: 1e3 * statistics.median(taken) for name, taken in times.items()}
