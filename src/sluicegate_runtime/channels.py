"""Channel maps: which flag of which gate closes a channel of a value.

A map is stored as runs. `ChannelRun(count, gate, first, repeat)` says of the next `count` channels that flag
`first + i // repeat` of `gate` closes the i-th of them; without a gate they are always open. An expanded map is an
int64 array [C] of flag numbers, counted through all gates in the order of the program's values; -1 is always open.
Rules compare expanded maps, so two spellings of one map are equal.

Legend: C channels of a value, B blocks of adjacent channels of one flag.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

OPEN = -1  # the flag number of a channel that no gate closes

Owner = tuple[str, int] | None  # gate and flag that close a channel; None if it is always open


@dataclass(frozen=True)
class ChannelRun:
    """The next `count` channels: flag `first + i // repeat` of `gate` closes the i-th; no gate: always open."""

    count: int
    gate: str | None = None
    first: int = 0
    repeat: int = 1

    def owners(self) -> list[Owner]:
        """Gate and flag of each of its channels."""
        if self.gate is None:
            return [None] * self.count
        return [(self.gate, self.first + i // self.repeat) for i in range(self.count)]


def channel_runs(owners: Sequence[Owner]) -> tuple[ChannelRun, ...]:
    """The shortest runs of a map.

    Args:
        owners: for each channel the (gate, flag) that closes it, or None if it is always open.

    Returns:
        As few runs as can say the same; none at all where every channel is always open.

        channel_runs([("g", 0), ("g", 0), ("g", 1), ("g", 1), None])
        # (ChannelRun(4, "g", 0, 2), ChannelRun(1))
    """
    if all(owner is None for owner in owners):
        return ()
    reach = _reaches(owners)
    runs, start = [], 0
    while start < len(owners):
        # This run can end at any of these places: choose the one from which the next run gets furthest. The beginning
        # of a run is also a run, so no other choice needs fewer runs.
        end = max(range(start + 1, reach[start][0] + 1), key=lambda end: (reach[end][0], end))
        gate, first = owners[start] or (None, 0)
        runs.append(ChannelRun(end - start, gate, first, reach[start][1] if gate else 1))
        start = end
    return tuple(runs)


def flag_numbers(runs: Sequence[ChannelRun], channels: int, numbers: Mapping[str, int]) -> np.ndarray:
    """The expanded map [C] of a value of so many channels; `numbers`: gate -> the number of its first flag."""
    if not runs:
        return np.full(channels, OPEN, np.int64)
    counts = [run.count for run in runs]
    starts = [OPEN if run.gate is None else numbers[run.gate] + run.first for run in runs]
    repeats = [channels if run.gate is None else run.repeat for run in runs]  # one that is open never goes on to a next
    ends = np.cumsum(counts)
    places = np.arange(channels) - np.repeat(ends - counts, counts)  # of each channel in its run
    return np.repeat(starts, counts) + places // np.repeat(repeats, counts)


def _reaches(owners: Sequence[Owner]) -> list[tuple[int, int]]:
    """For each channel: where the longest run that starts there ends, and how often it repeats each flag."""
    blocks = [(owner, len(list(group))) for owner, group in groupby(owners)]
    end = len(owners)
    reach = [(0, 1)] * end + [(end + 1, 1)]  # nothing goes on further than the end
    following: tuple[Owner, int] | None = None
    for owner, length in reversed(blocks):
        for start in range(end - length, end):
            reach[start] = (_reach(reach, owner, end, end - start, following), end - start)
        following, end = (owner, length), end - length
    return reach


def _reach(
    reach: Sequence[tuple[int, int]], owner: Owner, end: int, repeat: int, following: tuple[Owner, int] | None
) -> int:
    """Where a run ends that has `repeat` channels of its first flag, up to `end`, where `following` comes next."""
    if owner is None or following is None or following[0] != (owner[0], owner[1] + 1):
        return end
    return reach[end][0] if following[1] == repeat else end + min(following[1], repeat)
