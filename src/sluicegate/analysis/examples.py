"""Images and what they cost: those with the most and the least work, their paths, accuracy by cost.

Legend: N images, n of them, S sites.
"""

import numpy as np
import pandas as pd

from sluicegate.analysis.observed import Observed

PARTS = 10  # of the images by rising cost


def hardest(seen: Observed, count: int) -> np.ndarray:
    """[n]: the numbers of the images with the most MACs, the most first; of equals, the first (batch
    shaping, Fig. 4)."""
    return np.argsort(-seen.macs, kind="stable")[:count]


def easiest(seen: Observed, count: int) -> np.ndarray:
    """[n]: those with the fewest, the fewest first."""
    return np.argsort(seen.macs, kind="stable")[:count]


def paths(seen: Observed, chosen: np.ndarray) -> np.ndarray:
    """[n, S]: the share of each site's gates that is open for these images; of a layer, 1 where it was run."""
    rows = seen.decisions.rows(chosen)
    return np.stack([rows[:, site.span].mean(1) for site in seen.sites], axis=1) if seen.sites else rows[:, :0]


def opening_images(seen: Observed, gate: int, most: int) -> np.ndarray:
    """[n]: the first images that open a gate, given by its number."""
    found: list[int] = []
    for which, rows in seen.decisions.chunks():
        found += (np.flatnonzero(rows[:, gate]) + which.start).tolist()
        if len(found) >= most:
            break
    return np.array(found[:most], np.int64)


def accuracy_by_cost(seen: Observed) -> pd.DataFrame:
    """Images in ten parts by rising MACs: `part` (1 has the least), `images`, `low`, `high` and `mean` MACs,
    `accuracy`, and the mean loss with every gate open as `dense_loss` (both NaN without labels)."""
    order = np.argsort(seen.macs, kind="stable")
    parts = [part for part in np.array_split(order, PARTS) if len(part)]
    right, loss = seen.right, seen.dense_loss
    return pd.DataFrame(
        {
            "part": range(1, len(parts) + 1),
            "images": [len(part) for part in parts],
            "low": [int(seen.macs[part].min()) for part in parts],
            "high": [int(seen.macs[part].max()) for part in parts],
            "mean": [float(seen.macs[part].mean()) for part in parts],
            "accuracy": [np.nan if right is None else float(right[part].mean()) for part in parts],
            "dense_loss": [np.nan if loss is None else float(loss[part].mean()) for part in parts],
        }
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's: 1 where both rise together, -1 where one falls as the other rises; None if one never changes."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (first, second)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
