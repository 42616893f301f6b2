"""The interface of a task.

Legend: N images, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torchmetrics import Metric

from sluicegate.data import Images


class Scores(NamedTuple):
    """The scores of a network.

    Attributes:
        accuracy: share of images, or of pixels, that are classified correctly, in [0, 1].
        mean_iou: mean over classes of intersection over union, in [0, 1]; None if there are no masks.
        class_iou: the same by class, of those that are in the masks or in the answers.
    """

    accuracy: float
    mean_iou: float | None
    class_iou: dict[str, float]


class Task(ABC):
    """What a network is trained for.

    Example:
        >>> task = Segmentation()
        >>> loss = task.loss(net(images), masks)
    """

    @abstractmethod
    def check(self, images: Images) -> None:
        """See that a set has the labels of this task.

        Raises:
            InputError: it has others.
        """

    def prepare(self, net: nn.Module) -> nn.Module | None:
        """Let a network, before it gets gates, return in training what the loss needs besides scores; the head that
        reads it, or None."""
        return None

    @abstractmethod
    def loss(self, output: Any, labels: Tensor, smoothing: float = 0.0, auxiliary: nn.Module | None = None) -> Tensor:
        """The mean loss of a batch, []; `auxiliary` is the head that `prepare` gave."""

    @abstractmethod
    def image_losses(self, output: Any, labels: Tensor) -> Tensor:
        """The loss of each image, [N]."""

    @abstractmethod
    def accuracy(self, output: Any, labels: Tensor) -> Tensor:
        """The share of right answers in a batch, []."""

    @abstractmethod
    def metric(self, classes: int, sync: bool) -> Metric:
        """Counts batches by `update(scores, labels)`; with `sync`, those of all processes."""

    @abstractmethod
    def scores(self, metric: Metric, classes: Sequence[str]) -> Scores:
        """What such a metric has counted."""


def answer(output: Any) -> Tensor:
    """The scores [N, K, ...] of what a network returns: that itself, or the first of several."""
    if isinstance(output, Mapping):
        return next(iter(output.values()))
    return output[0] if isinstance(output, (tuple, list)) else output
