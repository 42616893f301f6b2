"""Figures of what images cost: MACs, milliseconds, accuracy."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from sluicegate.analysis.figures.style import BLUE, GREY, ORANGE, Figure, bars, require_rows, styled
from sluicegate.analysis.thresholds import OperatingPoint

MILLION = 1e6
_ZOOMED = alt.Scale(zero=False)


def operating_points(points: Sequence[OperatingPoint], own: float) -> Figure:
    """Accuracy against MACs, a point for each threshold; that of `own` is marked. The parameter `at` moves the mark."""
    known = [point for point in points if point.accuracy is not None]
    require_rows("operating_points", known)
    rows = [{**vars(point), "macs": point.macs / MILLION} for point in known]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("macs:Q", title="million multiply-adds an image", scale=_ZOOMED, axis=alt.Axis(tickCount=8)),
        y=alt.Y("accuracy:Q", title="right", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False)),
        tooltip=[
            alt.Tooltip("threshold:Q", title="threshold"),
            alt.Tooltip("accuracy:Q", title="right", format=".2%"),
            alt.Tooltip("macs:Q", title="million multiply-adds", format=".2f"),
            alt.Tooltip("milliseconds:Q", title="milliseconds", format=".3f"),
            alt.Tooltip("open_rate:Q", title="gates open", format=".1%"),
        ],
    )
    at = alt.param(name="at", value=own)
    chosen = f"abs(datum.threshold - {at.name}) < 1e-6"
    line = base.mark_line(color=BLUE, strokeWidth=2)
    dots = base.mark_point(filled=True, opacity=1).encode(
        size=alt.condition(chosen, alt.value(260), alt.value(70)),
        color=alt.condition(chosen, alt.value(ORANGE), alt.value(BLUE)),
    )
    return styled(alt.layer(line, dots).add_params(at), "Accuracy against work, by threshold")


def macs_histogram(macs: np.ndarray) -> Figure:
    """How many images cost how much."""
    counts, edges = np.histogram(macs / MILLION, bins=40)
    drawn = (
        alt.Chart(alt.Data(values=bars(edges, counts)))
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title="million multiply-adds an image"),
            x2="high:Q",
            y=alt.Y("count:Q", title="images"),
            tooltip=[
                alt.Tooltip("low:Q", title="from (million)", format=".2f"),
                alt.Tooltip("high:Q", title="to (million)", format=".2f"),
                alt.Tooltip("count:Q", title="images"),
            ],
        )
    )
    return styled(drawn, "Work by image")


def by_cost(table: pd.DataFrame, column: str, title: str, y: str, percent: bool) -> Figure:
    """A column of `accuracy_by_cost` over the ten parts of the images, from the least work."""
    require_rows(title, table)
    shown = table.assign(mean=table["mean"] / MILLION)
    number = ".2%" if percent else ".3f"
    base = alt.Chart(shown).encode(
        x=alt.X("part:O", title="images in ten parts: 1 has the least work, 10 the most", axis=alt.Axis(labelAngle=0)),
        y=alt.Y(f"{column}:Q", title=y, scale=alt.Scale(zero=False), axis=alt.Axis(format="%" if percent else "")),
        tooltip=[
            alt.Tooltip("part:O", title="part"),
            alt.Tooltip("images:Q", title="images"),
            alt.Tooltip("mean:Q", title="million multiply-adds", format=".2f"),
            alt.Tooltip(f"{column}:Q", title=y, format=number),
        ],
    )
    drawn = alt.layer(base.mark_line(color=BLUE, strokeWidth=2), base.mark_point(color=BLUE, filled=True, size=80))
    return styled(drawn, title, 220)


def block_bars(table: pd.DataFrame, column: str) -> Figure:
    """Milliseconds (`column="ms"`) or MACs (`"macs"`) of each block, gated beside dense; `table` is a `block_table`."""
    require_rows("block_bars", table)
    title = {"ms": "milliseconds an image", "macs": "million multiply-adds an image"}[column]
    shown = table.assign(macs=table["macs"] / MILLION)
    order = table["block"].drop_duplicates().tolist()
    networks = [name for name in ("gated", "dense") if name in set(table["network"])]
    drawn = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            y=alt.Y("block:N", sort=order, title=None),
            yOffset=alt.YOffset("network:N", sort=networks),
            x=alt.X(f"{column}:Q", title=title),
            color=alt.Color("network:N", scale=alt.Scale(domain=networks, range=[BLUE, GREY][-len(networks) :])),
            tooltip=[
                alt.Tooltip("block:N", title="block"),
                alt.Tooltip("network:N", title="network"),
                alt.Tooltip("ms:Q", title="milliseconds", format=".4f"),
                alt.Tooltip("macs:Q", title="million multiply-adds", format=".3f"),
            ],
        )
    )
    what = {"ms": "Time by block", "macs": "Work by block"}[column]
    return styled(drawn, what, max(160, 28 * len(order)))
