"""Findings -> one HTML file with all that it needs in it: styles, scripts, data and pictures.

Charts are drawn by Vega in the page; its three libraries come from vl-convert, in one piece of 0.9 MB.
"""

import base64
import os
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import numpy as np
import vl_convert

from sluicegate.analysis.examples import paths
from sluicegate.analysis.figures.classes import shown_gates
from sluicegate.analysis.figures.style import specification
from sluicegate.analysis.findings import Findings
from sluicegate.analysis.page.panel import NO_GATES
from sluicegate.analysis.page.panels import sections
from sluicegate.analysis.page.pictures import OF_SCENES, class_colours, mask_picture, picture
from sluicegate.analysis.page.summary import facts, headlines
from sluicegate.analysis.page.words import explained, millions
from sluicegate.files import write_text

_LEVELS = 250  # of a firing rate, in a byte
MOST, LEAST = "The most work", "The least work"
_TILES = 3_000_000  # rates that travel in the page, at most


def write_page(found: Findings, path: str | os.PathLike[str]) -> Path:
    """Write the report.

    Raises:
        InputError: the file cannot be written.

    Example:
        >>> write_page(analyse(artifact, images, Context("net")), "report.html")
    """
    write_text(path, render_page(found))
    return Path(path)


def render_page(found: Findings) -> str:
    """The report as HTML."""
    parts = sections(found)
    figures = ((panel.name, panel.figure) for part in parts for panel in part.panels)
    return _template().render(
        found=found,
        sections=parts,
        headlines=headlines(found),
        facts=facts(found),
        specifications={name: specification(figure) for name, figure in figures if figure is not None},
        choices=_choices(found),
        galleries=_galleries(found),
        special=_special(found),
        colours=_colours(found),
        no_gates=NO_GATES,
        library=_library(),
    )


def _template() -> jinja2.Template:
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"explained": explained, "millions": millions}
    return environment.get_template("report.html.j2")


@cache
def _library() -> str:
    major, minor = alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return bundle.replace("</script", "<\\/script")


def _choices(found: Findings) -> dict[str, Any]:
    """What the controls of the page choose from."""
    points = [vars(point) for point in found.points if point.accuracy is not None]
    return {
        "own": found.own,
        "points": points,
        "dense": found.seen.dense_macs,
        "sites": list(found.seen.probabilities),
        "classes": _rates(found),
    }


def _rates(found: Findings) -> dict[str, Any] | None:
    """Firing rates by class and gate, in bytes: [classes with images, shown gates]."""
    if found.rates is None or not found.seen.sites or len(found.classes) < 2:
        return None
    shown = shown_gates(found.gates, found.rates)
    labels = sorted(found.classes["label"])
    shown = shown.head(max(1, _TILES // len(labels)))
    levels = np.rint(found.rates[np.ix_(labels, shown["number"])] * _LEVELS).astype(np.uint8)
    return {
        "names": [found.seen.classes[label] for label in labels],
        "gates": shown[["site", "gate", "rank"]].to_dict("records"),
        "levels": _LEVELS,
        "rates": base64.b64encode(levels.tobytes()).decode(),
    }


def _galleries(found: Findings) -> list[tuple[str, list[dict[str, Any]]]]:
    chosen = {MOST: found.hardest, LEAST: found.easiest}
    return [(title, [_card(found, number) for number in numbers]) for title, numbers in chosen.items() if numbers]


def _card(found: Findings, number: int) -> dict[str, Any]:
    seen = found.seen
    path = paths(seen, np.array([number]))[0]
    return {
        "number": number,
        "picture": picture(found.pictures[number], found.artifact.program, *([OF_SCENES] if found.pixelwise else [])),
        "masks": _masks(found, number),
        "share": float(seen.pixels.right[number]) if seen.pixels is not None else None,
        "label": None if seen.labels is None else seen.classes[seen.labels[number]],
        "predicted": seen.classes[seen.predicted[number]],
        "right": None if seen.labels is None else bool(seen.predicted[number] == seen.labels[number]),
        "confidence": float(seen.confidence[number]),
        "macs": int(seen.macs[number]),
        "path": [(site.name, float(share)) for site, share in zip(seen.sites, path, strict=True)],
    }


def _masks(found: Findings, number: int) -> list[tuple[str, str]]:
    """What is drawn beside an image whose pixels have classes: a caption and a picture each."""
    label, answer = found.masks.get(number, (None, None))
    named = {"answer": answer, "label": label}
    return [(name, mask_picture(mask, len(found.seen.classes))) for name, mask in named.items() if mask is not None]


def _colours(found: Findings) -> list[tuple[str, str]]:
    """Name and colour of each class that masks are drawn with."""
    if not found.pixelwise:
        return []
    colours = class_colours(len(found.seen.classes))
    return [(name, f"rgb({r},{g},{b})") for name, (r, g, b) in zip(found.seen.classes, colours, strict=True)]


def _special(found: Findings) -> list[dict[str, Any]]:
    rows = found.special.to_dict("records") if len(found.special) else []
    return [row | {"cards": [_card(found, number) for number in row["images"]]} for row in rows]
