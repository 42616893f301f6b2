"""Tasks: loss, metric, data sets that fit, and what training adds to the network."""

from sluicegate.tasks.classification import Classification as Classification
from sluicegate.tasks.known import TaskName as TaskName
from sluicegate.tasks.known import task_named as task_named
from sluicegate.tasks.known import task_of as task_of
from sluicegate.tasks.segmentation import Confusion as Confusion
from sluicegate.tasks.segmentation import Segmentation as Segmentation
from sluicegate.tasks.task import Scores as Scores
from sluicegate.tasks.task import Task as Task
from sluicegate.tasks.task import answer as answer
