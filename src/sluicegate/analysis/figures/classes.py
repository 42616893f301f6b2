"""Figures of classes and of the images that lie in them.

Legend: K classes, G gates.
"""

import altair as alt
import numpy as np
import pandas as pd

from sluicegate.analysis.classes import firing_difference
from sluicegate.analysis.figures.costs import MILLION
from sluicegate.analysis.figures.gates import slanted
from sluicegate.analysis.figures.style import (
    BLUE,
    COLOURS,
    SHAPES,
    VERMILION,
    Figure,
    require_rows,
    styled,
)

DIFFERENCE = "difference"  # the data set that the page replaces when other classes are chosen
ROWS = 64  # gates of a layer that are drawn
LISTED = 40  # classes that are drawn
_OTHERS = "other classes"


def shown_gates(gates: pd.DataFrame, rates: np.ndarray) -> pd.DataFrame:
    """The gates that `firing_differences` draws: of each layer those that differ most between classes, `ROWS` at most,
    from the most often open; `rank` is the place in their layer."""
    with np.errstate(all="ignore"):
        spread = np.nanmax(rates, axis=0) - np.nanmin(rates, axis=0)
    table = gates.assign(spread=spread).sort_values("spread", ascending=False, kind="stable")
    table = table.groupby("site", sort=False).head(ROWS).sort_values("number")
    return table.assign(rank=table.groupby("site")["rate"].rank(method="first", ascending=False).astype(int))


def firing_differences(shown: pd.DataFrame, rates: np.ndarray, first: int, second: int) -> Figure:
    """How much more often each gate fires for one class than for another (batch shaping, Fig. 6).

    Args:
        shown: see `shown_gates`.
        rates: [K, G], see `class_rates`.
        first, second: the classes, by number.
    """
    require_rows("firing_differences", shown)
    difference = firing_difference(rates, first, second)[shown["number"].to_numpy()]
    rows = shown[["site", "gate", "rank"]].assign(difference=np.round(difference, 4))
    drawn = (
        alt.Chart(alt.Data(values=rows.to_dict("records"), name=DIFFERENCE))
        .mark_rect()
        .encode(
            x=alt.X(
                "site:N",
                sort=shown["site"].drop_duplicates().tolist(),
                title=None,
                axis=slanted(shown["site"].nunique()),
            ),
            y=alt.Y("rank:O", title="gates, most often open first", axis=alt.Axis(labels=False, ticks=False)),
            color=alt.Color(
                "difference:Q",
                scale=alt.Scale(domain=[-1, 0, 1], range=[VERMILION, "rgba(140,140,140,0.14)", BLUE]),
                legend=alt.Legend(format="+.0%", gradientLength=180, values=[-1, 0, 1]),
            ),
            tooltip=[
                alt.Tooltip("site:N", title="layer"),
                alt.Tooltip("gate:Q", title="gate"),
                alt.Tooltip("difference:Q", title="fires more often by", format="+.1%"),
            ],
        )
    )
    return styled(drawn, "Firing rates of one class less those of another", 340)


def class_macs(table: pd.DataFrame) -> Figure:
    """MACs by class, the most first: the mean, and where 80% of its images lie; `table` is a `class_table`. Of many
    classes, those with the most and the least."""
    require_rows("class_macs", table)
    if len(table) > LISTED:
        table = pd.concat([table.head(LISTED // 2), table.tail(LISTED // 2)])
    shown = table.assign(**{name: table[name] / MILLION for name in ("mean", "low", "high")})
    base = alt.Chart(shown).encode(
        y=alt.Y("name:N", sort=shown["name"].tolist(), title=None, axis=alt.Axis(labelLimit=150)),
        tooltip=[
            alt.Tooltip("name:N", title="class"),
            alt.Tooltip("images:Q", title="images"),
            alt.Tooltip("mean:Q", title="million multiply-adds", format=".2f"),
            alt.Tooltip("accuracy:Q", title="right", format=".1%"),
        ],
    )
    zoomed = alt.Scale(zero=False)
    span = base.mark_bar(color=BLUE, opacity=0.35, height=10).encode(
        x=alt.X("low:Q", scale=zoomed, title="million multiply-adds: mean, and 80% of the images"),
        x2="high:Q",
    )
    mean = base.mark_point(color=BLUE, filled=True, size=90, opacity=1).encode(x=alt.X("mean:Q", scale=zoomed))
    return styled(alt.layer(span, mean), "Work by class", max(120, 24 * len(shown)))


def confusion_bars(table: pd.DataFrame) -> Figure:
    """The most frequent mistakes; `table` is that of `confusions`."""
    require_rows("confusion_bars", table)
    shown = table.assign(mistake=table["label"] + " → " + table["predicted"])
    drawn = (
        alt.Chart(shown)
        .mark_bar(color=VERMILION)
        .encode(
            y=alt.Y("mistake:N", sort=shown["mistake"].tolist(), title=None, axis=alt.Axis(labelLimit=230)),
            x=alt.X("images:Q", title="images", axis=alt.Axis(tickMinStep=1)),
            tooltip=["label:N", "predicted:N", "images:Q"],
        )
    )
    return styled(drawn, "Where it is wrong: label → answer", max(120, 24 * len(shown)))


def gate_map_figure(table: pd.DataFrame) -> Figure:
    """Images laid out by the gates that they open (GaterNet, Fig. 5), coloured by class; `table` is a `gate_map`."""
    require_rows("gate_map", table)
    by = "label" if "label" in table else "predicted"
    groups = table[by].value_counts().index[: len(COLOURS) - (table[by].nunique() > len(COLOURS))].tolist()
    group = table[by].where(table[by].isin(groups), _OTHERS)
    shown = table.assign(group=group, macs=table["macs"] / MILLION).round({"x": 2, "y": 2, "macs": 2})
    names = sorted(groups) + ([_OTHERS] if (group == _OTHERS).any() and _OTHERS not in groups else [])
    hover = [alt.Tooltip("image:Q", title="image"), alt.Tooltip("macs:Q", title="million multiply-adds")]
    hover += [alt.Tooltip(f"{name}:N", title=name) for name in ("label", "predicted") if name in table]
    drawn = (
        alt.Chart(shown)
        .mark_point(filled=True, size=34, opacity=0.8)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(zero=False)),
            color=alt.Color("group:N", scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)]))),
            shape=alt.Shape("group:N", scale=alt.Scale(domain=names, range=list(SHAPES[: len(names)]))),
            tooltip=hover,
        )
    )
    return styled(drawn, "Images by the gates that they open", 460)
