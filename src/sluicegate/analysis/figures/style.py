"""How figures look, and how they become files.

Colours are those of Okabe and Ito, which colour-blind readers tell apart. Text is of a grey that is read on white and
on black; the page sets it in its own colours.
"""

import os
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from sluicegate.errors import InputError
from sluicegate.files import whole_file, write_text

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#B8A500", "#9A9A9A"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, "#6F4E37", "#7A7AE0", GREY)
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "circle",
    "square",
    "diamond",
    "cross",
)

Figure = alt.Chart | alt.LayerChart | alt.FacetChart

_TEXT = "#707070"
_WIDTH = 640  # of a file, in pixels; in the page a figure is as wide as its place
_SCALE = 2.0  # pixels of a PNG for each of these


def styled(figure: Figure, title: str, height: int = 260) -> Figure:
    """The figure with title, size and style."""
    return (
        figure.properties(title=title, width="container", height=height, background="transparent", description=title)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_TEXT, titleColor=_TEXT, titleFontWeight="normal", gridColor="#8885", gridWidth=0.6,
            domainColor="#8888", tickColor="#8888", labelFontSize=12, titleFontSize=12, titlePadding=8,
        )
        .configure_legend(
            labelColor=_TEXT, titleColor=_TEXT, orient="top", title=None, labelFontSize=12, symbolSize=110,
            labelLimit=260,
        )
        .configure_title(color=_TEXT, anchor="start", fontSize=14)
    )  # fmt: skip


def specification(figure: Figure) -> dict[str, Any]:
    """As Vega-Lite, for the page: without its title, which stands above it there."""
    found = figure.to_dict()
    found.pop("title", None)
    return found


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write a figure as SVG and PNG side by side (whatever suffix `path` has); nothing but Python is needed for it.

    Raises:
        InputError: the files cannot be written.

    Example:
        >>> save_figure(figures.layers(layer_table(gate_table(seen))), "layers")
        (PosixPath('layers.svg'), PosixPath('layers.png'))
    """
    stem = Path(path).with_suffix("")
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    drawn = figure.to_dict() | {"width": _WIDTH, "background": "white"}
    write_text(svg, vl_convert.vegalite_to_svg(drawn))
    with whole_file(png) as part:
        part.write_bytes(vl_convert.vegalite_to_png(drawn, scale=_SCALE))
    return svg, png


def bars(edges: Any, counts: Any) -> list[dict[str, Any]]:
    """A histogram as rows: `low`, `high`, `count`."""
    return [
        {"low": float(low), "high": float(high), "count": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def require_rows(name: str, rows: Any) -> None:
    """InputError if there is nothing to draw."""
    if not len(rows):
        raise InputError(f"figure: nothing to draw in {name}")
