"""The frontier: accuracy against the cost of an image, one point for each trained network (`figures/frontier.py`).

A gated network uses a different number of multiply-adds for each image. So a point is the mean, and its whisker runs
from the cheapest image to the most expensive one. A paper's numbers are grey and labelled "paper: ...".
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sluicegate.files import write_json, write_text

Unit = Literal["macs", "ms"]


@dataclass(frozen=True)
class Point:
    """One network: `accuracy` in [0, 1], MACs per image (one MAC = one multiply-add), its range where it has one, and
    the milliseconds of an image where they are known."""

    label: str
    accuracy: float
    macs: float
    macs_min: float | None = None
    macs_max: float | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together, and how they are drawn: a gated method, dense baselines, a paper's numbers, or the
    one network that a report is of ("marked")."""

    name: str
    points: tuple[Point, ...]
    role: Literal["gated", "dense", "paper", "marked"] = "gated"


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other point dominates (cheaper or more accurate, and not worse in the other), by MACs."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.macs, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return tuple(best)


def save_frontier(
    series: Sequence[Series], path: str | os.PathLike[str], title: str = "", unit: Unit = "macs"
) -> tuple[Path, ...]:
    """Draw the frontier: `path` as PNG and SVG side by side or, where its suffix is `.html`, as one page that says what
    each point is; and its numbers as JSON.

    Args:
        series: what is drawn.
        path: where to.
        title: above it.
        unit: what an image costs, "macs" or "ms".

    Returns:
        The files.

    Raises:
        InputError: there is no point to draw, one whose milliseconds are not known is to be drawn by them, or the files
            cannot be written.

    Example:
        >>> save_frontier([Series("dlcg", (Point("row 1", 0.89, 7.6e6),))], "frontier.png")
        (PosixPath('frontier.png'), PosixPath('frontier.svg'), PosixPath('frontier.json'))
    """
    from sluicegate.analysis.figures import frontier, save_figure  # late: Altair takes a second to load

    figure = frontier(series, title, unit)
    file = Path(path)
    numbers = file.with_name(f"{file.with_suffix('').name}.json")
    if file.suffix == ".html":
        write_text(file, figure.properties(background="white").to_html(inline=True))
        drawn = (file,)
    else:
        drawn = save_figure(figure, file)[::-1]
    write_json(numbers, {"series": [asdict(one) for one in series]})
    return (*drawn, numbers)
