import math

import pytest

from sluicegate.errors import InputError
from sluicegate.schedule import constant, cosine, linear, parse_schedule, steps


def test_constant_holds():
    assert [constant(0.05)(p) for p in (0, 0.4, 1)] == [0.05] * 3


def test_linear_moves_between_begin_and_finish_only():
    ramp = linear(1, 0, begin=0.2, finish=0.6)
    assert [ramp(p) for p in (0, 0.2, 0.4, 0.6, 1)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_cosine_is_half_a_wave():
    wave = cosine(1, 0)
    assert [wave(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0])


def test_steps_hold_from_their_place_on():
    stairs = steps({0.5: 0.1, 0: 1.0, 0.75: 0.01})
    assert [stairs(p) for p in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (0.05, constant(0.05)),
        ("0.05", constant(0.05)),
        ("-1e-2", constant(-0.01)),
        ("linear(0.75, 0)", linear(0.75, 0)),
        ("linear(0.75, 0, finish=0.5)", linear(0.75, 0, finish=0.5)),
        (" cosine(1, -1) ", cosine(1, -1)),
        ("steps({0: 1, 0.5: 0.1})", steps({0: 1, 0.5: 0.1})),
    ],
)
def test_parse(text, schedule):
    assert parse_schedule(text) == schedule


def test_parse_lets_a_schedule_through():
    ramp = linear(0, 1)
    assert parse_schedule(ramp) is ramp


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "linear(1)",
        "linear(1, x)",
        "exp(1)",
        "__import__('os')",
        "linear(1, 0",
        "[1]",
        "linear(1, **{})",
    ],
)
def test_parse_refuses_in_one_line(text):
    with pytest.raises(InputError, match=r"^schedule: .*(known|number)") as refusal:
        parse_schedule(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "linear(0, 1, begin=0.5, finish=0.5)",
        "cosine(0, 1, finish=2)",
        "steps({0.1: 1})",
        "steps({})",
        "steps({0: 1, 2: 1})",
    ],
)
def test_places_lie_in_zero_to_one(text):
    with pytest.raises(InputError, match=r"begin|start at 0"):
        parse_schedule(text)
