"""Every task by name, and the task of a set of images."""

from sluicegate.data import Images, SceneSet
from sluicegate.tasks.classification import Classification
from sluicegate.tasks.segmentation import Segmentation
from sluicegate.tasks.task import Task

TASKS: dict[str, type[Task]] = {"classification": Classification, "segmentation": Segmentation}


def task_of(images: Images) -> Task:
    """The task that a set has labels for."""
    return Segmentation() if isinstance(images, SceneSet) else Classification()
