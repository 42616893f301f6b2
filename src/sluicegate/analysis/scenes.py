"""Measures of segmentation networks.

    M_ij = pixels of class i that are classified as j
    IoU_i = M_ii / (sum_j M_ij + sum_j M_ji - M_ii)      mean over the classes whose union is not empty

Source: Everingham et al. 2015 (PASCAL VOC), section 3.3. Legend: n images, K classes, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

VOID = 255
"""The label of a pixel that counts for nothing."""

_SCORES = 16_000_000  # that a batch has at most


@dataclass(frozen=True)
class Pixels:
    """What was right: M as [K, K] int64 of the network as it is and with every gate open, and the share of the pixels
    of each image that is right, [N]."""

    gated: np.ndarray
    dense: np.ndarray
    right: np.ndarray


def counted(labels: np.ndarray) -> np.ndarray:
    """Which labels count: all [n] of images, of masks [n, H, W] those that are not void."""
    return np.ones(labels.shape, bool) if labels.ndim == 1 else labels != VOID


def confusion(said: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """M of answers and masks, both [n, H, W]."""
    known = counted(masks)
    pairs = masks[known].astype(np.int64) * classes + said[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def pixel_accuracy(matrix: np.ndarray) -> float:
    """The share of all pixels that is right; `matrix` is M."""
    return float(matrix.trace() / max(1, matrix.sum()))


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """[K]: IoU of each class; NaN where nothing is of it or called it.

    Example:
        >>> class_iou(np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]])).round(2).tolist()
        [0.5, 0.67, nan]
    """
    hits = matrix.diagonal()
    union = matrix.sum(0) + matrix.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(matrix: np.ndarray) -> float:
    """The mean of `class_iou`; 0 where no pixel counts."""
    return float(np.nanmean(class_iou(matrix))) if matrix.any() else 0.0


def iou_table(pixels: Pixels, classes: Sequence[str]) -> pd.DataFrame:
    """A row for each class that is there and each network: `name`, `network` ("gated", or "all open"), `iou`, `pixels`
    (how many are labelled so); the best class first."""
    parts = []
    for network, matrix in (("gated", pixels.gated), ("all open", pixels.dense)):
        columns = {"name": classes, "network": network, "iou": class_iou(matrix), "pixels": matrix.sum(1)}
        parts.append(pd.DataFrame(columns).sort_values("iou", ascending=False, kind="stable"))
    return pd.concat(parts).dropna().reset_index(drop=True)


def most_frequent(answers: np.ndarray) -> np.ndarray:
    """[n] -> [n]; [n, H, W] -> [n]: the class of most pixels."""
    return answers if answers.ndim == 1 else np.array([np.bincount(one.ravel()).argmax() for one in answers])


def mean_by_image(values: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """[n] or [n, H, W] -> [n] float32: the mean over an image's pixels that count; 0 where none does."""
    flat = values.reshape(len(values), -1)
    if counts is None:
        return flat.mean(1).astype(np.float32)
    weights = counts.reshape(len(values), -1)
    return ((flat * weights).sum(1) / np.maximum(1, weights.sum(1))).astype(np.float32)


def fitting_batch(shape: Sequence[int], batch_size: int) -> int:
    """So many images at a time that memory is bounded, for scores of this shape, (K,) or (K, H, W)."""
    return max(1, min(batch_size, _SCORES // int(np.prod(shape))))
