"""Figures of networks that answer for each pixel."""

import altair as alt
import pandas as pd

from sluicegate.analysis.figures.style import BLUE, GREY, Figure, require_rows, styled


def class_iou_bars(table: pd.DataFrame) -> Figure:
    """Intersection over union by class, with the gates as they decide beside all open; `table` is an `iou_table`."""
    require_rows("class_iou", table)
    order = table["name"].drop_duplicates().tolist()
    networks = ["gated", "all open"]
    drawn = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=150)),
            yOffset=alt.YOffset("network:N", sort=networks),
            x=alt.X("iou:Q", title="intersection over union", axis=alt.Axis(format="%")).scale(domain=[0, 1]),
            color=alt.Color("network:N", scale=alt.Scale(domain=networks, range=[BLUE, GREY])),
            tooltip=[
                alt.Tooltip("name:N", title="class"),
                alt.Tooltip("network:N", title="gates"),
                alt.Tooltip("iou:Q", title="IoU", format=".1%"),
                alt.Tooltip("pixels:Q", title="labelled pixels", format=",d"),
            ],
        )
    )
    return styled(drawn, "Intersection over union by class", max(140, 30 * len(order)))
