"""A class for each pixel: cross entropy, pixel accuracy, mean intersection over union.

    loss = CE(scores) + w CE(up(auxiliary(features)))     CE: mean over pixels that are not IGNORE, of all processes
    M_ij = pixels of class i that are called j            counted exactly, over all images
    IoU_i = M_ii / (sum_j M_ij + sum_j M_ji - M_ii)       mean over the classes whose union is not empty

Sources: Zhao et al. 2017 (PSPNet), section 3.3, for the auxiliary loss and w = 0.4; Everingham et al. 2015 (PASCAL
VOC), section 3.3, for the measure.

Legend: N images, K classes, C channels, H W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchmetrics import Metric

from sluicegate.data import IGNORE, Images, SceneSet
from sluicegate.errors import InputError
from sluicegate.nets import PSPNet
from sluicegate.tasks.task import Scores, Task, answer


class Segmentation(Task):
    """Scores [N, K, H, W] against masks int64 [N, H, W].

    Args:
        auxiliary: w, the weight of the auxiliary head's loss; 0 for none.
    """

    def __init__(self, auxiliary: float = 0.4) -> None:
        if not auxiliary >= 0:
            raise InputError(f"task.auxiliary: {auxiliary} is below 0")
        self.auxiliary = auxiliary

    def check(self, images: Images) -> None:
        if not isinstance(images, SceneSet):
            raise InputError("task.name: segmentation, but the data set has no masks; it must be classification")

    def prepare(self, net: nn.Module) -> nn.Module | None:
        if not (self.auxiliary and isinstance(net, PSPNet)):
            return None
        net.with_features = True
        return net.auxiliary_head()

    def loss(self, output: Any, labels: Tensor, smoothing: float = 0.0, auxiliary: nn.Module | None = None) -> Tensor:
        loss = _mean_loss(_checked(answer(output), labels), labels, smoothing)
        if auxiliary is None:
            return loss
        said = auxiliary(output[1])  # [N, K, h, w]
        said = interpolate(said, size=labels.shape[1:], mode="bilinear", align_corners=False)
        return loss + self.auxiliary * _mean_loss(said, labels, smoothing)

    def image_losses(self, output: Any, labels: Tensor) -> Tensor:
        losses = cross_entropy(answer(output), labels, ignore_index=IGNORE, reduction="none")  # [N, H, W]
        return losses.sum((1, 2)) / (labels != IGNORE).sum((1, 2)).clamp(min=1)

    def accuracy(self, output: Any, labels: Tensor) -> Tensor:
        right = (answer(output).argmax(1) == labels).sum()
        return right / (labels != IGNORE).sum().clamp(min=1)

    def metric(self, classes: int, sync: bool) -> Metric:
        return Confusion(classes, sync)

    def scores(self, metric: Metric, classes: Sequence[str]) -> Scores:
        matrix = metric.compute().double()  # [K, K]
        hits = matrix.diagonal()
        union = matrix.sum(0) + matrix.sum(1) - hits
        ious = {name: float(hit / all_) for name, hit, all_ in zip(classes, hits, union, strict=True) if all_ > 0}
        accuracy = float(hits.sum() / matrix.sum().clamp(min=1))
        mean = sum(ious.values()) / max(1, len(ious))
        return Scores(round(accuracy, 6), round(mean, 6), {name: round(iou, 6) for name, iou in ious.items()})


class Confusion(Metric):
    """M of the file's head, int64 [K, K].

    Args:
        classes: K.
        sync: add up what several processes counted.

    Example:
        >>> counted = Confusion(11)
        >>> counted.update(net(images), masks)
        >>> counted.compute().diagonal().sum()  # pixels that are right
    """

    full_state_update = False
    matrix: Tensor

    def __init__(self, classes: int, sync: bool = False) -> None:
        super().__init__(sync_on_compute=sync)
        self.classes = classes
        self.add_state("matrix", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count a batch: scores [N, K, H, W], masks [N, H, W]."""
        counted = labels != IGNORE
        pairs = labels[counted] * self.classes + _checked(scores, labels).argmax(1)[counted]
        self.matrix += torch.bincount(pairs, minlength=self.classes**2).view_as(self.matrix)

    def compute(self) -> Tensor:
        """[K, K]."""
        return self.matrix


def _checked(scores: Tensor, labels: Tensor) -> Tensor:
    if scores.dim() != 4 or scores.shape[2:] != labels.shape[1:]:
        raise InputError(
            f"net: scores {list(scores.shape)} for masks {list(labels.shape)}; a network for segmentation gives "
            "[N, K, H, W] with the sides of its images"
        )
    return scores


def _mean_loss(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """The mean over the pixels of all processes: gradients are averaged over these, each with pixels of its own."""
    count = (labels != IGNORE).sum().float()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count /= dist.get_world_size()
    total = cross_entropy(scores, labels, ignore_index=IGNORE, label_smoothing=smoothing, reduction="sum")
    return total / count.clamp(min=1)
