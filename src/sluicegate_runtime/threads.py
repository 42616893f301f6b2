"""The best number of threads for a program on this machine. It is measured, because two virtual cores may be one
physical core, and a small network may be slower on two threads than on one."""

import os
import statistics
from collections.abc import Callable

import numpy as np

from .executor import Executor
from .program import Program
from .timing import TURN, benchmark

ROUNDS = 4  # turns of each number of threads
NEARLY = 1.05  # fewer threads are used if they take at most this times the fastest time


def fastest_threads(make: Callable[[int], Executor], program: Program) -> int:
    """The number of threads that runs one image of noise in the shortest time, of 1, 2, 4, ... and all cores that this
    process may use; fewer, if they are within 5 % of it.

    Args:
        make: number of threads -> an executor of the program.
        program: says what shape an image has.
    """
    noise = np.random.default_rng(0).standard_normal((1, *program.shape(program.input)), np.float32)
    executors = {threads: make(threads) for threads in thread_counts(usable_cores())}
    calls = {str(threads): lambda image, e=executor: e.run(image, None) for threads, executor in executors.items()}
    seconds = benchmark(calls, [noise], ROUNDS * TURN)
    medians = {threads: statistics.median(seconds[str(threads)]) for threads in executors}
    return min(threads for threads in medians if medians[threads] <= NEARLY * min(medians.values()))


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and the number of cores itself."""
    powers = [1 << power for power in range(cores.bit_length()) if 1 << power < cores]
    return [*powers, cores]


def usable_cores() -> int:
    """Cores that this process may use, as the system counts them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
