"""Gates and layers as tables: how often each is open, which decide alike, how sure they are.

Legend: N images, G gates of all sites, B bins.
"""

import numpy as np
import pandas as pd

from sluicegate.analysis.activities import ACTIVITIES, activity
from sluicegate.analysis.observed import Observed


def gate_table(seen: Observed) -> pd.DataFrame:
    """A row for each gate: `number` (counted through all sites), `site`, `kind`, `gate` (within its site), `opened`
    (for how many images), `rate` (for which share of them), `activity`."""
    opened = seen.decisions.opened_by_gate()
    rates = opened / max(len(seen), 1)
    sites = [site for site in seen.sites for _ in range(site.gates)]
    return pd.DataFrame(
        {
            "number": np.arange(len(opened)),
            "site": [site.name for site in sites],
            "kind": [site.kind for site in sites],
            "gate": [number - site.first for number, site in enumerate(sites)],
            "opened": opened,
            "rate": rates,
            "activity": activity(rates),
        }
    )


def layer_table(gates: pd.DataFrame) -> pd.DataFrame:
    """A row for each site and activity: `gates`, how many, and `share` of the site's (batch shaping, Fig. 5)."""
    sites = gates["site"].drop_duplicates()
    rows = pd.MultiIndex.from_product([sites, ACTIVITIES], names=["site", "activity"])
    counts = gates.groupby(["site", "activity"], sort=False).size().reindex(rows, fill_value=0)
    table = counts.to_frame("gates").reset_index()
    table["share"] = table["gates"] / table.groupby("site")["gates"].transform("sum")
    return table


def agreeing_gates(seen: Observed, gates: pd.DataFrame) -> list[list[int]]:
    """Groups of conditional gates, by number, that decide alike for every image; one gate of each would be enough.

    Args:
        seen: what was observed.
        gates: its `gate_table`.
    """
    conditional = gates.loc[gates["activity"] == "conditional", "number"].to_numpy()
    return seen.decisions.always_agree(conditional)


def probability_histogram(seen: Observed) -> pd.DataFrame:
    """How many (image, gate) pairs have a probability in each bin: `site`, `probability` (the bin's middle), `pairs`,
    `share` of the site's. Empty where no gate's probability is known."""
    parts = []
    for site, counts in seen.probabilities.items():
        pairs = counts.sum(0)
        middle = (np.arange(len(pairs)) + 0.5) / len(pairs)
        share = pairs / max(pairs.sum(), 1)
        parts.append(pd.DataFrame({"site": site, "probability": middle, "pairs": pairs, "share": share}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["site", "probability", "pairs", "share"])


def polarisation(seen: Observed) -> float | None:
    """Mean of 4 p (1 - p) over (image, gate) pairs: 0 if every gate is certain, 1 if every p is one half (stochastic
    gates, section 3.1). p is the middle of its bin. None if no probability is known."""
    table = probability_histogram(seen)
    if table.empty:
        return None
    p = table["probability"]
    return float((4 * p * (1 - p) * table["pairs"]).sum() / table["pairs"].sum())
