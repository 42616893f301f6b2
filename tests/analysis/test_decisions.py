"""Packed bits against plain arrays."""

import tracemalloc

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.analysis.decisions import Decisions
from sluicegate.errors import InputError


def packed(rows, size=37):
    decisions = Decisions(rows.shape[1])
    for first in range(0, len(rows), size):
        decisions.append(rows[first : first + size])
    return decisions


@examples(20)
@given(st.integers(0, 2**32), st.integers(1, 3000), st.integers(0, 40))
def test_it_counts_as_a_plain_array_does(seed, images, gates):
    rng = np.random.default_rng(seed)
    rows, groups = rng.random((images, gates)) < rng.random(), rng.integers(0, 5, images)
    decisions = packed(rows)
    assert len(decisions) == images
    assert (decisions.opened_by_gate() == rows.sum(0)).all()
    assert (decisions.opened_by_image() == rows.sum(1)).all()
    direct = np.array([rows[groups == group].sum(0) for group in range(6)])
    assert (decisions.opened_by_group(groups, 6) == direct).all()
    chosen = rng.integers(0, images, 4)
    assert (decisions.rows(chosen) == rows[chosen]).all()


def test_gates_that_always_agree_are_found():
    rows = np.random.default_rng(0).random((3000, 20)) < 0.5
    rows[:, 7] = rows[:, 2]
    rows[:, 19] = rows[:, 2]
    rows[:, 11] = ~rows[:, 2]
    rows[:, 5] = rows[:, 4]
    rows[2999, 5] = ~rows[2999, 4]
    decisions = packed(rows)
    assert decisions.always_agree(np.arange(20)) == [[2, 7, 19]]
    assert decisions.always_agree(np.array([7, 8, 19])) == [[7, 19]]
    assert decisions.always_agree(np.empty(0, np.int64)) == []


def test_rows_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"rows: shape \(2, 3\) is not \(n, 4\)"):
        Decisions(4).append(np.zeros((2, 3), bool))


@pytest.mark.slow
def test_50_000_images_of_5_000_gates_and_1_000_classes_fit():
    """In 400 MB with all that is counted; as a plain array of bytes the decisions alone are 250 MB, as floats 1 GB."""
    rng = np.random.default_rng(0)
    rows = rng.random((500, 5000)) < 0.3
    tracemalloc.start()
    decisions = Decisions(5000)
    for _ in range(100):
        decisions.append(rows)
    groups = rng.integers(0, 1000, 50_000)
    assert decisions.packed.nbytes == 50_000 * 625
    assert (decisions.opened_by_gate() == 100 * rows.sum(0)).all()
    assert (decisions.opened_by_group(groups, 1000).sum(0) == 100 * rows.sum(0)).all()
    assert (decisions.opened_by_image() == np.tile(rows.sum(1), 100)).all()
    assert decisions.always_agree(np.arange(5000)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6, f"{peak / 1e6:.0f} MB"
