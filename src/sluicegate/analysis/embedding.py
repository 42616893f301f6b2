"""A map of images by the gates that they open (GaterNet, Fig. 5): decisions, PCA to 50 numbers, t-SNE to 2.

The paper takes PCA to 400 of 7,200 gates. Legend: n images, G gates.
"""

import numpy as np
import pandas as pd

from sluicegate.analysis.observed import Observed

COMPONENTS = 50
LEAST = 10  # images, below which there is no map


def gate_map(seen: Observed, most: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Where images lie: `image`, `x`, `y`, `macs`, `predicted` and, with labels, `label` (names).

    Args:
        seen: what was observed.
        most: the largest number of images, taken at equal distances; t-SNE takes seconds for 2,000.
        seed: of t-SNE.

    Returns:
        A data frame; empty if there are fewer than ten images, or all images open the same gates.
    """
    chosen = np.arange(min(most, len(seen))) * len(seen) // max(1, min(most, len(seen)))
    rows = seen.decisions.rows(chosen)
    changing = rows[:, rows.any(0) & ~rows.all(0)] if len(rows) else rows[:, :0]
    if len(chosen) < LEAST or not changing.shape[1]:
        return pd.DataFrame(columns=["image", "x", "y", "macs", "predicted", "label"])
    places = _placed(changing.astype(np.float32), seed)
    names = np.array(seen.classes, dtype=object)
    found = {"image": chosen, "x": places[:, 0], "y": places[:, 1], "macs": seen.macs[chosen]}
    found["predicted"] = names[seen.predicted[chosen]]
    if seen.labels is not None:
        found["label"] = names[seen.labels[chosen]]
    return pd.DataFrame(found)


def _placed(rows: np.ndarray, seed: int) -> np.ndarray:
    """[n, G] -> [n, 2]."""
    from sklearn.decomposition import PCA  # late: it takes a second to import, and only this needs it
    from sklearn.manifold import TSNE

    components = min(COMPONENTS, *rows.shape)
    reduced = PCA(components, random_state=seed).fit_transform(rows)
    scattered = reduced + np.random.default_rng(seed).normal(0, 1e-4, reduced.shape)  # equals must not coincide
    perplexity = min(30.0, (len(rows) - 1) / 3)
    start = "pca" if components >= 2 else "random"
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(scattered.astype(np.float32))
