"""The frontier as a chart: accuracy against MACs or milliseconds."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import altair as alt

from sluicegate.analysis.figures.costs import MILLION
from sluicegate.analysis.figures.style import COLOURS, GREY, ORANGE, Figure, require_rows, styled
from sluicegate.analysis.frontier import Point, Series, Unit
from sluicegate.errors import InputError

_LINES = tuple(colour for colour in COLOURS if colour not in (GREY, ORANGE))
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")
_STAR = "M0,-1L.23,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.23,-.31Z"
_LOOKS = {"dense": ("#707070", _STAR), "paper": (GREY, "circle"), "marked": (ORANGE, "circle")}
_SIZES = {"gated": 70, "dense": 160, "paper": 40, "marked": 260}
_HEADS = {"macs": "Accuracy against work", "ms": "Accuracy against time"}
_TITLES = {"macs": "million multiply-adds an image", "ms": "milliseconds an image"}


def frontier(series: Sequence[Series], title: str = "", unit: Unit = "macs") -> Figure:
    """Accuracy against what an image costs; see `save_frontier`.

    Raises:
        InputError: there is no point, or one whose milliseconds are not known is to be drawn by them.
    """
    series = [one for one in series if one.points]
    require_rows("frontier: no points; give at least one run", series)
    rows = [row for one in series for row in _rows(one, unit)]
    names = [_name(one) for one in series]
    colours, shapes = zip(*_looks(series), strict=True)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("cost:Q", title=_TITLES[unit], scale=alt.Scale(zero=False, padding=24)).axis(tickCount=8),
        y=alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False, padding=20)),
        color=alt.Color("series:N", scale=_scale(names, colours), legend=alt.Legend(symbolOpacity=1)),
    )
    shape = alt.Shape("series:N", scale=_scale(names, shapes))
    size = alt.Size("size:Q", scale=None)
    dash = alt.condition("datum.role == 'paper'", alt.value([4, 3]), alt.value([1, 0]))
    layers = [
        base.transform_filter("datum.low < datum.high").mark_rule(opacity=0.4).encode(x="low:Q", x2="high:Q"),
        base.transform_filter("datum.role != 'dense'").mark_line(strokeWidth=1.5).encode(strokeDash=dash),
        base.mark_point(filled=True, opacity=1).encode(shape=shape, size=size, tooltip=_hover()),
        base.transform_filter("datum.role == 'dense'").mark_text(dy=-13, fontSize=12).encode(text="label:N"),
    ]
    return styled(alt.layer(*layers), title or _HEADS[unit], 340)


def _scale(names: Sequence[str], looks: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(looks))


def _rows(series: Series, unit: Unit) -> Iterator[dict[str, Any]]:
    for point in series.points:
        cost = point.macs / MILLION if unit == "macs" else point.milliseconds
        if cost is None:
            raise InputError(f"frontier: the milliseconds of {_name(series)!r} are not known; draw it in MACs")
        low, high = _span(point) if unit == "macs" else (cost, cost)
        yield {
            "series": _name(series), "role": series.role, "size": _SIZES[series.role], "label": point.label,
            "accuracy": point.accuracy, "cost": cost, "low": low, "high": high, "macs": point.macs / MILLION,
            "ms": point.milliseconds,
        }  # fmt: skip


def _span(point: Point) -> tuple[float, float]:
    """The cheapest and the dearest image, in millions."""
    low = point.macs if point.macs_min is None else point.macs_min
    high = point.macs if point.macs_max is None else point.macs_max
    return low / MILLION, high / MILLION


def _looks(series: Sequence[Series]) -> Iterator[tuple[str, str]]:
    """Colour and shape of each: no two of 56 gated series look alike."""
    number = count()
    for one in series:
        place = next(number) if one.role == "gated" else 0
        yield _LOOKS.get(one.role) or (_LINES[place % len(_LINES)], _SHAPES[place % len(_SHAPES)])


def _name(series: Series) -> str:
    return f"paper: {series.name}" if series.role == "paper" else series.name


def _hover() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="of"),
        alt.Tooltip("label:N", title="network"),
        alt.Tooltip("accuracy:Q", title="accuracy", format=".2%"),
        alt.Tooltip("macs:Q", title="million multiply-adds", format=".2f"),
        alt.Tooltip("ms:Q", title="milliseconds", format=".3f"),
    ]
