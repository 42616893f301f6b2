import math

import pytest

from sluicegate.errors import InputError
from sluicegate.schedule import constant, cosine, geometric, linear, parse_schedule, polynomial, staircase, steps


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


def test_geometric_falls_by_equal_factors():
    decay = geometric(1, 0.99**100)
    assert [decay(n / 100) for n in (0, 1, 50, 100)] == pytest.approx([1, 0.99, 0.99**50, 0.99**100])


def test_polynomial_falls_as_batch_shapings_learning_rate():
    """ICLR 2020, section B.3: 2e-2 (1 - iter / itermax)^0.9."""
    poly = polynomial(2e-2, 0, power=0.9)
    assert [poly(p) for p in (0, 0.3, 1)] == pytest.approx([2e-2, 2e-2 * 0.7**0.9, 0])


def test_staircase_anneals_as_stochastic_gates_s1_1():
    """By 0.05 every 5 of 100 epochs, and no further than its end, which no step need hit."""
    down = staircase(1.0, 0.87, by=0.05, every=5 / 100)
    assert [down(epoch / 100) for epoch in (0, 4, 5, 9, 10, 15, 99)] == pytest.approx(
        [1, 1, 0.95, 0.95, 0.9, 0.87, 0.87]
    )
    assert staircase(0.2, 0.4, by=0.1, every=0.5)(1.0) == 0.4


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (0.05, constant(0.05)),
        ("0.05", constant(0.05)),
        ("-1e-2", constant(-0.01)),
        ("linear(0.75, 0)", linear(0.75, 0)),
        ("linear(0.75, 0, finish=0.5)", linear(0.75, 0, finish=0.5)),
        (" cosine(1, -1) ", cosine(1, -1)),
        ("geometric(1, 0.01)", geometric(1, 0.01)),
        ("polynomial(1, 0, power=0.9)", polynomial(1, 0, 0.9)),
        ("staircase(1, 0.5, by=0.05, every=0.05)", staircase(1, 0.5, 0.05, 0.05)),
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
        "linear('a', 1)",
        "linear(0, None)",
        "steps({0: 'a'})",
        "linear(0, 1e999)",
        "None",
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
        "geometric(1, 0.1, begin=1)",
        "polynomial(1, 0, 0.9, finish=0)",
        "steps({0.1: 1})",
        "steps({})",
        "steps({0: 1, 2: 1})",
    ],
)
def test_places_lie_in_zero_to_one(text):
    with pytest.raises(InputError, match=r"begin|start at 0"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("geometric(1, 0)", "geometric: start=1, end=0; both must be greater than 0"),
        ("polynomial(1, 0, power=0)", "polynomial: power=0 must be greater than 0"),
        ("staircase(1, 0, by=0, every=0.1)", "staircase: by=0, every=0.1; both must be greater than 0"),
        ("staircase(1, 0, by=0.1, every=0.2)", "staircase: 10 steps of every=0.2 end at 2; the rule is 1 or before"),
    ],
)
def test_numbers_that_make_no_schedule(text, message):
    with pytest.raises(InputError, match=message):
        parse_schedule(text)
