"""One class for each image: cross entropy, top-1 accuracy.

Legend: N images, K classes.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from sluicegate.data import Images, SceneSet
from sluicegate.errors import InputError
from sluicegate.tasks.task import Scores, Task, answer


class Classification(Task):
    """Scores [N, K] against labels int64 [N]."""

    def check(self, images: Images) -> None:
        if isinstance(images, SceneSet):
            raise InputError(f"task.name: classification, but {images.place} has masks; it must be segmentation")

    def loss(self, output: Any, labels: Tensor, smoothing: float = 0.0, auxiliary: nn.Module | None = None) -> Tensor:
        return cross_entropy(answer(output), labels, label_smoothing=smoothing)

    def image_losses(self, output: Any, labels: Tensor) -> Tensor:
        return cross_entropy(answer(output), labels, reduction="none")

    def accuracy(self, output: Any, labels: Tensor) -> Tensor:
        return (answer(output).argmax(1) == labels).float().mean()

    def metric(self, classes: int, sync: bool) -> Metric:
        return MulticlassAccuracy(classes, average="micro", validate_args=False, sync_on_compute=sync)

    def scores(self, metric: Metric, classes: Sequence[str]) -> Scores:
        return Scores(round(float(metric.compute()), 6), None, {})
