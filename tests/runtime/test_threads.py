"""`threads=None` takes the number that was measured to be fastest."""

import numpy as np
import pytest
from gated_network import network

from sluicegate_runtime import Session, threads

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ({"1": 10.0, "2": 6.0, "4": 4.0}, 4),
        ({"1": 10.0, "2": 6.0, "4": 7.0}, 2),
        ({"1": 10.0, "2": 9.6, "4": 12.0}, 1),  # within 5 % of the fastest
    ],
)
def test_the_fastest_is_taken_and_fewer_where_it_costs_nothing(monkeypatch, milliseconds, expected):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads, "benchmark", lambda calls, *_: {name: [milliseconds[name]] for name in calls})
    assert Session(network(), threads=None).threads == expected


def test_it_is_measured_here():
    session = Session(network(), threads=None)
    assert 1 <= session.threads <= threads.usable_cores()
    image = np.random.default_rng(0).normal(size=(1, 3, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(session.run(image).output, Session(network(), threads=1).run(image).output)


def test_the_reference_has_one_thread():
    assert Session(network(), threads=None, engine="reference").threads == 1


def test_counts_are_powers_of_two_and_all_cores():
    assert threads.thread_counts(1) == [1]
    assert threads.thread_counts(2) == [1, 2]
    assert threads.thread_counts(6) == [1, 2, 4, 6]
