"""Figures of what gates did."""

import altair as alt
import numpy as np
import pandas as pd
from scipy.special import betainc

from sluicegate.analysis.activities import ACTIVITIES
from sluicegate.analysis.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Figure,
    bars,
    require_rows,
    styled,
)
from sluicegate.analysis.gates import probability_histogram
from sluicegate.analysis.observed import BINS, Observed

ALL = "all layers"
ALL_NAMED = 12  # sites, up to which all names are written
PRIOR = (0.6, 0.4)
"""Of the Beta distribution towards which batch shaping trains its gates (section 4)."""


def layers(table: pd.DataFrame, count: bool = False) -> Figure:
    """Gates that are always on, conditional and always off, by layer (batch shaping, Fig. 5; GaterNet, Fig. 2 and, with
    `count`, Fig. 6); `table` is a `layer_table`."""
    require_rows("layers", table)
    shown = table.assign(order=table["activity"].map({name: place for place, name in enumerate(ACTIVITIES)}))
    sites = table["site"].drop_duplicates().tolist()
    column = "gates:Q" if count else "share:Q"
    drawn = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X(
                "site:N",
                sort=sites,
                title=None,
                axis=slanted(len(sites)),
            ),
            y=alt.Y(column, title="gates" if count else "share of gates", axis=alt.Axis(format="d" if count else "%")),
            color=alt.Color(
                "activity:N", scale=alt.Scale(domain=list(ACTIVITIES), range=[BLUE, ORANGE, GREY]), sort=ACTIVITIES
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("site:N", title="layer"),
                alt.Tooltip("activity:N", title="gates that are"),
                alt.Tooltip("gates:Q", title="how many"),
                alt.Tooltip("share:Q", title="share", format=".0%"),
            ],
        )
    )
    return styled(drawn, "Gates by layer" + (", counted" if count else ""), 300)


def slanted(sites: int) -> alt.Axis:
    """An axis of so many sites, whose names are all written where there is room."""
    return alt.Axis(labelAngle=-40, labelOverlap=sites > ALL_NAMED, labelLimit=140)


def firing_counts(gates: pd.DataFrame, images: int) -> Figure:
    """For how many images conditional gates are open (GaterNet, Fig. 3); `gates` is a `gate_table`."""
    conditional = gates.loc[gates["activity"] == "conditional", "opened"].to_numpy()
    require_rows("firing_counts", conditional)
    counts, edges = np.histogram(conditional, bins=25, range=(0, images))
    return _histogram(bars(edges, counts), "images that open the gate", "gates", "How often conditional gates fire")


def gates_per_image(seen: Observed) -> Figure:
    """How many gates are open for an image (GaterNet, Fig. 4)."""
    opened = seen.decisions.opened_by_image()
    low, high = int(opened.min()), int(opened.max()) + 1
    width = max(1, -(-(high - low) // 40))
    counts, edges = np.histogram(opened, bins=np.arange(low, high + width, width))
    title = f"open gates of {seen.decisions.gates:,}"
    return _histogram(bars(edges, counts), title, "images", "Open gates by image")


def rate_histogram(gates: pd.DataFrame) -> Figure:
    """How many gates have which open rate (stochastic gates, Fig. 9); `gates` is a `gate_table`."""
    require_rows("rate_histogram", gates)
    counts, edges = np.histogram(gates["rate"], bins=20, range=(0, 1))
    return _histogram(bars(edges, counts), "share of images that open a gate", "gates", "Open rates of gates", "%")


def _histogram(rows: list[dict[str, float]], x: str, y: str, title: str, number: str = ",d") -> Figure:
    drawn = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title=x, axis=alt.Axis(format=number, tickCount=8)),
            x2="high:Q",
            y=alt.Y("count:Q", title=y),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=number),
                alt.Tooltip("high:Q", title="to", format=number),
                alt.Tooltip("count:Q", title=y),
            ],
        )
    )
    return styled(drawn, title, 220)


def probabilities(seen: Observed, prior: tuple[float, float] = PRIOR) -> Figure:
    """Probabilities that gates give to being open, over images, and a Beta prior (batch shaping, Fig. 1; stochastic
    gates, section 3.1). The parameter `site` chooses a layer."""
    table = probability_histogram(seen)
    require_rows("probabilities", table)
    whole = table.groupby("probability", as_index=False).agg({"pairs": "sum"})
    whole = whole.assign(site=ALL, share=whole["pairs"] / whole["pairs"].sum())
    shown = pd.concat([whole, table]).assign(
        low=lambda rows: rows["probability"] - 0.5 / BINS, high=lambda rows: rows["probability"] + 0.5 / BINS
    )
    site = alt.param(name="site", value=ALL)
    y = alt.Y("share:Q", title="share (root scale)", axis=alt.Axis(format="%"), scale=alt.Scale(type="sqrt"))
    measured = (
        alt.Chart(shown.round(6))
        .transform_filter(f"datum.site == {site.name}")
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title="probability of being open", axis=alt.Axis(format=".1f", tickCount=5)),
            x2="high:Q",
            y=y,
            tooltip=[
                alt.Tooltip("probability:Q", title="probability about", format=".2f"),
                alt.Tooltip("share:Q", title="share", format=".2%"),
            ],
        )
    )
    mass = np.diff(betainc(*prior, np.linspace(0, 1, BINS + 1)))
    rows = [{"middle": (i + 0.5) / BINS, "share": float(part), "line": _name(prior)} for i, part in enumerate(mass)]
    line = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, strokeDash=[5, 3])
        .encode(x="middle:Q", y=y, color=alt.Color("line:N", scale=alt.Scale(domain=[_name(prior)], range=[VERMILION])))
    )
    return styled(alt.layer(measured, line).add_params(site), "Probabilities of gates", 240)


def _name(prior: tuple[float, float]) -> str:
    return f"prior of batch shaping, Beta({prior[0]:g}, {prior[1]:g})"


def history(metrics: pd.DataFrame) -> Figure:
    """Open rates over the epochs of a training, of each layer and of all gates of a kind (stochastic gates, Fig. 24 to
    27). The first layers are blue, the last purple.

    Args:
        metrics: a run's `metrics.csv`: `epoch`, `open_KIND` for each kind of gate; if it has them, `open:SITE`.
    """
    kinds = _melted(metrics, "open_").replace({"name": r"$"}, {"name": " gates"}, regex=True)
    require_rows("history", kinds)
    layers = _melted(metrics, "open:")
    base = alt.Chart(kinds).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("rate:Q", title="gates open", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        tooltip=["epoch:Q", alt.Tooltip("name:N", title="of"), alt.Tooltip("rate:Q", title="open", format=".1%")],
    )
    every = base.mark_line(strokeWidth=1.2, opacity=0.8).encode(
        detail="name:N", color=alt.Color("depth:Q", scale=alt.Scale(range=[SKY, PURPLE]), legend=None)
    )
    colour = alt.Color("name:N", scale=alt.Scale(range=[VERMILION, BLUE, GREEN]))
    mean = base.mark_line(point=True, strokeWidth=3).encode(color=colour)
    lines = [every.properties(data=layers), mean] if len(layers) else [mean]
    return styled(alt.layer(*lines).resolve_scale(color="independent"), "Open gates over the training", 260)


def _melted(metrics: pd.DataFrame, start: str) -> pd.DataFrame:
    """A row for each epoch and each column that begins so: `epoch`, `name`, `rate`, and `depth`, the column's place."""
    names = [name for name in metrics.columns if name.startswith(start)]
    long = metrics.melt("epoch", names, "name", "rate")
    long["depth"] = long["name"].map({name: place for place, name in enumerate(names)})
    long["name"] = long["name"].str.removeprefix(start)
    return long
