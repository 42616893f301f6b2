"""Classes and gates: which gates fire for which class, the cost of a class, and which classes are confused.

Legend: K classes, G gates of all sites, N images.
"""

import numpy as np
import pandas as pd

from sluicegate.analysis.observed import Observed
from sluicegate.errors import InputError

RARELY = 0.25  # a gate that is open for at most this share of the images is rarely open
FEW = 5  # a gate that fewer images open says nothing about classes


def class_rates(seen: Observed) -> np.ndarray:
    """[K, G] float64: the share of a class's images for which a gate is open; NaN for a class without images.

    Raises:
        InputError: there are no labels.
    """
    labels = _labels(seen)
    opened = seen.decisions.opened_by_group(labels, len(seen.classes))
    images = np.bincount(labels, minlength=len(seen.classes))
    with np.errstate(invalid="ignore"):
        return opened / images[:, None]


def firing_difference(rates: np.ndarray, first: int, second: int) -> np.ndarray:
    """[G]: how much more often a gate fires for one class than for another (batch shaping, Fig. 6); `rates` are those
    of `class_rates`."""
    return rates[first] - rates[second]


def class_table(seen: Observed) -> pd.DataFrame:
    """A row for each class that has images: `name`, `images`, `accuracy`, MACs as `mean`, `low` and `high` (quantiles
    at 10 % and 90 %), the most work first.

    Raises:
        InputError: there are no labels.
    """
    frame = pd.DataFrame({"label": _labels(seen), "macs": seen.macs, "right": seen.right})
    found = frame.groupby("label").agg(
        images=("macs", "size"),
        accuracy=("right", "mean"),
        mean=("macs", "mean"),
        low=("macs", lambda macs: macs.quantile(0.1)),
        high=("macs", lambda macs: macs.quantile(0.9)),
    )
    found.insert(0, "name", [seen.classes[label] for label in found.index])
    return found.reset_index().sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


def specialists(seen: Observed, gates: pd.DataFrame, most: int | None = None) -> pd.DataFrame:
    """Rarely open gates and the classes that open them (batch shaping, Fig. 7), the most special first.

    Args:
        seen: what was observed.
        gates: its `gate_table`.
        most: the largest number of rows.

    Returns:
        The gate's row with `label` and `name`, the class that opens it most often; `share` of its openings that are of
        this class; `only`, whether all of them are; and `top`, its five leading classes as (name, openings).

    Raises:
        InputError: there are no labels.
    """
    opened = seen.decisions.opened_by_group(_labels(seen), len(seen.classes))
    rare = gates[(gates["rate"] <= RARELY) & (gates["opened"] >= FEW)].copy()
    counts = opened[:, rare["number"].to_numpy()]  # [K, rare gates]
    leading = np.argsort(-counts, axis=0, kind="stable")[:5]
    rare["label"] = leading[0] if len(rare) else np.empty(0, np.int64)
    rare["name"] = [seen.classes[label] for label in rare["label"]]
    rare["share"] = counts.max(0) / rare["opened"]
    rare["only"] = rare["share"] == 1
    rare["top"] = [
        [(seen.classes[label], int(counts[label, column])) for label in leading[:, column] if counts[label, column]]
        for column in range(len(rare))
    ]
    return rare.sort_values(["share", "opened"], ascending=False, kind="stable").head(most).reset_index(drop=True)


def confusions(seen: Observed, most: int = 12) -> pd.DataFrame:
    """The mistakes: pairs of `label` and `predicted` (names) and their number of `images`, most frequent first.

    Raises:
        InputError: there are no labels.
    """
    frame = pd.DataFrame({"label": _labels(seen), "predicted": seen.predicted})
    wrong = frame[frame["label"] != frame["predicted"]]
    pairs = wrong.value_counts().rename("images").reset_index().head(most)
    for column in ("label", "predicted"):
        pairs[column] = [seen.classes[number] for number in pairs[column]]
    return pairs


def _labels(seen: Observed) -> np.ndarray:
    if seen.labels is None:
        raise InputError("labels: there are none, but figures by class need them")
    return seen.labels
