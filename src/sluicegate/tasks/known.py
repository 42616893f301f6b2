"""A task by its name, or by the images that it is for."""

from typing import Literal

from sluicegate.data import Images, SceneSet
from sluicegate.tasks.classification import Classification
from sluicegate.tasks.segmentation import Segmentation
from sluicegate.tasks.task import Task

TaskName = Literal["classification", "segmentation"]


def task_named(name: TaskName, auxiliary: float = 0.4) -> Task:
    """The task of a name; `auxiliary` is that of `Segmentation`."""
    return Segmentation(auxiliary) if name == "segmentation" else Classification()


def task_of(images: Images) -> Task:
    """The task that a set has labels for."""
    return Segmentation() if isinstance(images, SceneSet) else Classification()
