import json
from dataclasses import replace

import pytest
from browser import opened
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.analysis import Point, Series, pareto, save_frontier
from sluicegate.analysis.figures import frontier as chart
from sluicegate.errors import InputError

GATED = Series("DLCG", (Point("b", 0.92, 20e6, 15e6, 25e6), Point("a", 0.90, 10e6, 8e6, 14e6)))
DENSE = Series("dense", (Point("ResNet-20", 0.925, 40.6e6),), role="dense")
PAPER = Series("Table 1", (Point("row 1", 0.8896, 7.6e6), Point("row 5", 0.9155, 14.5e6)), role="paper")

MARKED = Series("this network", (Point("here", 0.9, 9e6),), role="marked")


def test_pareto_drops_what_another_point_beats():
    cheap, good, worse, same = Point("c", 0.8, 1), Point("g", 0.9, 2), Point("w", 0.85, 3), Point("s", 0.9, 4)
    assert pareto([same, worse, good, cheap]) == (cheap, good)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_pareto_keeps_exactly_the_unbeaten(pairs):
    points = [Point("", accuracy / 5, macs) for accuracy, macs in pairs]

    def beaten(point):
        return any(other.macs <= point.macs and other.accuracy >= point.accuracy and other != point for other in points)

    assert set(pareto(points)) == {point for point in points if not beaten(point)}


def test_a_frontier_is_a_png_an_svg_and_its_numbers(tmp_path):
    png, svg, numbers = save_frontier([GATED, DENSE, PAPER], tmp_path / "deep" / "frontier.png", "CIFAR-10")
    assert png.read_bytes().startswith(b"\x89PNG")
    drawn = svg.read_text()
    assert "paper: Table 1" in drawn
    assert "ResNet-20" in drawn
    assert json.loads(numbers.read_text())["series"][0]["points"][0] == {
        "label": "b",
        "accuracy": 0.92,
        "macs": 20e6,
        "macs_min": 15e6,
        "macs_max": 25e6,
        "milliseconds": None,
    }
    assert sorted(path.name for path in png.parent.iterdir()) == [
        "frontier.json",
        "frontier.png",
        "frontier.svg",
    ]


def test_the_same_numbers_give_the_same_figure(tmp_path):
    first = save_frontier([GATED, DENSE], tmp_path / "one")
    second = save_frontier([GATED, DENSE], tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_in_milliseconds_it_is_drawn_of_what_was_timed_alone(tmp_path):
    timed = Series("fast", (replace(GATED.points[0], milliseconds=1.5),))
    page, numbers = save_frontier([timed], tmp_path / "frontier.html", unit="ms")
    assert "milliseconds an image" in page.read_text() and numbers.name == "frontier.json"
    seen = chart([timed, MARKED]).to_dict()
    assert seen["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["fast", "this network"]
    with pytest.raises(InputError, match="frontier: the milliseconds of 'paper: Table 1' are not known"):
        save_frontier([timed, PAPER], tmp_path / "never.png", unit="ms")
    assert not (tmp_path / "never.png").exists()


def test_the_page_opens_in_a_browser_and_asks_for_nothing(tmp_path):
    page, _ = save_frontier([GATED, DENSE, PAPER], tmp_path / "frontier.html")
    seen = opened(page)
    assert seen["complaints"] == [] and seen["outside"] == []


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(InputError, match="no points"):
        save_frontier([Series("empty", ())], tmp_path / "frontier.png")
