"""The frontier: accuracy against multiply-adds per image, one point a trained network.

A gated network spends a different number on each image, so a point is the mean and its whisker runs from the
cheapest image to the dearest. Dense networks are stars; a paper's numbers are grey and labelled "paper: ...".
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sluicegate.errors import InputError
from sluicegate.files import whole_file, write_json

_COLOURS = (
    *("#0b6e99", "#d1495b", "#2e8b57", "#8f5fbf", "#c77700", "#3d5a80"),
    *("#7a4b2a", "#d46fb0", "#8a9a1f"),
)
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # seven beside nine colours: no two of 63 series look alike
_GREY, _INK = "#9a9a9a", "#222222"
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "sluicegate",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Point:
    """One network: `accuracy` in [0, 1], MACs per image (one MAC = one multiply-add), its range where it has one."""

    label: str
    accuracy: float
    macs: float
    macs_min: float | None = None
    macs_max: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together, and how they are drawn: a gated method, dense baselines, or a paper's numbers."""

    name: str
    points: tuple[Point, ...]
    role: Literal["gated", "dense", "paper"] = "gated"


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats (as cheap and more accurate, or cheaper and as accurate), by rising MACs."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.macs, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return tuple(best)


def save_frontier(series: Sequence[Series], path: str | os.PathLike[str], title: str = "") -> tuple[Path, Path, Path]:
    """Draw the frontier and write `path` as PNG, SVG and JSON side by side (whatever suffix `path` has).

    Returns:
        The three files.

    Raises:
        InputError: there is no point to draw, or the files cannot be written.
    """
    if not any(one.points for one in series):
        raise InputError("frontier: no points to draw; give at least one run")
    stem = Path(path).with_suffix("")
    with rc_context(_STYLE):
        figure = _draw(series, title)
        png = _write_figure(figure, stem.with_name(f"{stem.name}.png"))
        svg = _write_figure(figure, stem.with_name(f"{stem.name}.svg"))
    points = stem.with_name(f"{stem.name}.json")
    write_json(points, {"series": [asdict(one) for one in series]})
    return png, svg, points


def _draw(series: Sequence[Series], title: str) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    gated = [one for one in series if one.role == "gated"]
    for one in series:
        match one.role:
            case "gated":
                index = gated.index(one)
                _draw_gated(axes, one, _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)])
            case "dense":
                _draw_dense(axes, one)
            case "paper":
                _draw_paper(axes, one)
    axes.set(xlabel="multiply-adds per image (millions)", ylabel="accuracy (%)", title=title)
    axes.set_axisbelow(True)
    axes.margins(0.06, 0.1)
    axes.legend(loc="best")
    return figure


def _draw_gated(axes: Axes, series: Series, colour: str, marker: str) -> None:
    points = _by_macs(series)
    x, y = _millions(points), _percent(points)
    low = [_span(point)[0] for point in points]
    high = [_span(point)[1] for point in points]
    axes.errorbar(x, y, xerr=(low, high), fmt="none", ecolor=colour, elinewidth=1, capsize=2.5, alpha=0.45)
    axes.plot(x, y, color=colour, marker=marker, markersize=5.5, linewidth=1.5, label=series.name, zorder=3)


def _draw_dense(axes: Axes, series: Series) -> None:
    points = _by_macs(series)
    axes.plot(
        _millions(points),
        _percent(points),
        "*",
        color=_INK,
        markersize=12,
        linestyle="none",
        label=series.name,
        zorder=4,
    )
    for point in points:
        axes.annotate(
            point.label, (point.macs / 1e6, 100 * point.accuracy), xytext=(0, 8), textcoords="offset points",
            ha="center", fontsize=8, color=_INK,
        )  # fmt: skip


def _draw_paper(axes: Axes, series: Series) -> None:
    points = _by_macs(series)
    axes.plot(
        _millions(points), _percent(points), color=_GREY, marker="o", markersize=4, markerfacecolor="white",
        linewidth=1, linestyle=(0, (4, 2)), label=f"paper: {series.name}", zorder=2,
    )  # fmt: skip


def _by_macs(series: Series) -> list[Point]:
    return sorted(series.points, key=lambda point: point.macs)


def _millions(points: Sequence[Point]) -> list[float]:
    return [point.macs / 1e6 for point in points]


def _percent(points: Sequence[Point]) -> list[float]:
    return [100 * point.accuracy for point in points]


def _span(point: Point) -> tuple[float, float]:
    """How far the cheapest and the dearest image lie from the mean, in millions."""
    low = point.macs if point.macs_min is None else point.macs_min
    high = point.macs if point.macs_max is None else point.macs_max
    return (point.macs - low) / 1e6, (high - point.macs) / 1e6


def _write_figure(figure: Figure, path: Path) -> Path:
    # A date would make two drawings of the same numbers differ.
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with whole_file(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=200, metadata=metadata)
    return path
