"""The task's part of the loss: labels, and the outputs of a teacher.

    task = cross entropy, with label smoothing if asked for
    loss = (1 - w) task + w T^2 KL(softmax(teacher / T) || softmax(output / T)),  mean over images

Source: Hinton, Vinyals, Dean: Distilling the knowledge in a neural network (2015), section 2; T^2 keeps the size of the
gradient as T grows.

Legend: N images, C channels, H W pixels, K classes.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluicegate.errors import InputError
from sluicegate.tasks import answer


def distillation_loss(output: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(output / T)); [N, K], [N, K] -> []; of maps [N, K, H, W] the mean over
    pixels.

    Example:
        >>> with torch.no_grad():
        ...     said = teacher(images)
        >>> loss = 0.1 * cross_entropy(output, labels) + 0.9 * distillation_loss(output, said)
    """
    ours, theirs = (F.log_softmax(_rows(x).float() / temperature, dim=1) for x in (output, teacher))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


def _rows(scores: Tensor) -> Tensor:
    """[N, K, H, W] -> [N H W, K]."""
    return scores.movedim(1, -1).flatten(0, -2) if scores.dim() > 2 else scores


class Distillation:
    """A frozen teacher and its share of the loss.

    It is not a module, so its weights are in no checkpoint and no optimizer.

    Args:
        teacher: the network that teaches, copied, in evaluation mode.
        weight: w in [0, 1].
        temperature: T > 0.

    Raises:
        InputError: a value outside its range.

    Example:
        >>> distillation = Distillation(net, weight=0.9)
        >>> loss = distillation(task_loss, output, images)
        >>> loss.backward()
    """

    def __init__(self, teacher: nn.Module, weight: float = 0.9, temperature: float = 4.0) -> None:
        if not 0 <= weight <= 1:
            raise InputError(f"weight: {weight} is not in [0, 1]")
        if not temperature > 0:
            raise InputError(f"temperature: {temperature} is not above 0")
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.teacher.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.weight, self.temperature = weight, temperature

    def __call__(self, task: Tensor, output: Tensor, images: Tensor) -> Tensor:
        """The whole loss: task [], output [N, K] for images [N, C, H, W] -> [].

        Raises:
            InputError: the teacher has another number of outputs than the network.
        """
        said = self.said(images)
        if said.shape != output.shape:
            raise InputError(f"teacher: its output is {tuple(said.shape)}, but the network's is {tuple(output.shape)}")
        return (1 - self.weight) * task + self.weight * distillation_loss(output, said, self.temperature)

    @torch.no_grad()
    def said(self, images: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, K], or [N, K, H, W], wherever the images are."""
        return answer(self.teacher.to(images.device)(images))
