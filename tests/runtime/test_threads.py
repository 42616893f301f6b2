"""`threads=None` takes the number that was measured to be fastest."""

import numpy as np
import pytest
import torch

import sluicegate as sg
from sluicegate.nets import build_net
from sluicegate_runtime import Session, threads


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    return sg.export(build_net("resnet8").eval(), tmp_path / "net.sluice", torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ({"1": 10.0, "2": 6.0, "4": 4.0}, 4),
        ({"1": 10.0, "2": 6.0, "4": 7.0}, 2),
        ({"1": 10.0, "2": 9.6, "4": 12.0}, 1),  # within 5 % of the fastest
    ],
)
def test_the_fastest_is_taken_and_fewer_where_it_costs_nothing(monkeypatch, file, milliseconds, expected):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads, "benchmark", lambda calls, *_: {name: [milliseconds[name]] for name in calls})
    assert Session(file, threads=None).threads == expected


def test_it_is_measured_here(file):
    session = Session(file, threads=None)
    assert 1 <= session.threads <= threads.usable_cores()
    image = np.zeros((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(session.run(image).output, Session(file, threads=1).run(image).output)


def test_the_reference_has_one_thread(file):
    assert Session(file, threads=None, engine="reference").threads == 1


def test_counts_are_powers_of_two_and_all_cores():
    assert threads.thread_counts(1) == [1]
    assert threads.thread_counts(2) == [1, 2]
    assert threads.thread_counts(6) == [1, 2, 4, 6]
