"""Channel maps: runs say what the map says, in as few words as can be."""

import numpy as np
import pytest

from sluicegate_runtime import ChannelRun, Program, Value, channel_flags, channel_runs


def g(*flags: int) -> list:
    return [("g", flag) for flag in flags]


@pytest.mark.parametrize(
    ("owners", "runs"),
    [
        ([], ()),
        ([None] * 5, ()),
        (g(0, 1, 2, 3), (ChannelRun(4, "g"),)),
        (g(0, 0, 1, 1, 2), (ChannelRun(5, "g", 0, 2),)),
        (g(2, 2, 2), (ChannelRun(3, "g", 2, 3),)),
        ([*g(3, 4), None, None], (ChannelRun(2, "g", 3), ChannelRun(2))),
        ([("g", 0), ("h", 1), ("h", 2)], (ChannelRun(1, "g"), ChannelRun(2, "h", 1))),
        (g(1, 0), (ChannelRun(1, "g", 1), ChannelRun(1, "g"))),
        # The longest first run, of six channels, would leave three.
        (g(0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2), (ChannelRun(3, "g", 0, 3), ChannelRun(8, "g", 1, 4))),
    ],
)
def test_runs(owners, runs):
    assert channel_runs(owners) == runs


def fewest(owners) -> int:
    """The least number of runs, by trying every run at every place."""
    least = [0] + [len(owners)] * len(owners)
    for end in range(1, len(owners) + 1):
        for start in range(end):
            part = owners[start:end]
            gate, first = part[0] or (None, 0)
            runs = [ChannelRun(len(part), gate, first if gate else 0, repeat) for repeat in range(1, len(part) + 1)]
            if any(run.owners() == part for run in runs):
                least[end] = min(least[end], least[start] + 1)
    return least[-1]


@pytest.mark.parametrize("seed", range(200))
def test_no_shorter_runs_say_the_same(seed):
    rng = np.random.default_rng(seed)
    owners: list = []
    while len(owners) < 14:
        flag = rng.integers(3)
        owners += [None if rng.random() < 0.2 else (str(rng.choice(["g", "h"])), int(flag))] * rng.integers(1, 4)
        if rng.random() < 0.5 and owners[-1]:
            owners += [(owners[-1][0], owners[-1][1] + 1)] * rng.integers(1, 4)
    runs = channel_runs(owners)
    assert [owner for run in runs for owner in run.owners()] == (owners if any(owners) else [])
    assert len(runs) == (fewest(owners) if any(owners) else 0)


def test_flags_are_numbered_through_all_gates():
    values = (
        Value("g", (3,), "gate"),
        Value("x", (2, 1, 1)),
        Value("y", (6, 1, 1), channels=(ChannelRun(2, "h"), ChannelRun(1), ChannelRun(3, "g", 1, 2))),
        Value("h", (2,), "gate"),
    )
    assert channel_flags(values, "x").tolist() == [-1, -1]
    assert channel_flags(values, "y").tolist() == [3, 4, -1, 1, 1, 2]
    assert channel_flags(values, "y").dtype == np.int64
    assert channel_flags(Program("x", {"output": "y"}, values, ()), "y").tolist() == [3, 4, -1, 1, 1, 2]


def test_two_spellings_of_one_map_are_equal():
    values = [Value("g", (4,), "gate")]
    long = Value("long", (4,), channels=tuple(ChannelRun(1, "g", i) for i in range(4)))
    short = Value("short", (4,), channels=(ChannelRun(4, "g"),))
    assert np.array_equal(channel_flags([*values, long, short], "long"), channel_flags([*values, long, short], "short"))
