r"""REINFORCE on sampled gates, in addition to the task's gradient: SkipNet's hybrid reinforcement learning.

Legend: N images, G gates of a site, S gates of all sites.

    R_i  = -L + alpha / S  sum_{j >= i} (1 - open_j)         from gate i on: the image's loss and savings
    loss = -weight  mean_N  sum_i R_i log p(open_i)          p(open) = sigmoid(logit)

Source: SkipNet (Wang et al., ECCV 2018; DLCG section 2.2 describes it). Its published training script has no baseline,
no discount, alpha 0.1 and weight 0.01. The decisions must be samples that carry no gradient themselves.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates import GateRecords


@dataclass(frozen=True)
class Reinforce:
    """What training rewards sampled gates for, from a given progress on (arguments as for `reinforce`).

    Args:
        begin: progress in [0, 1]. Before it there is no reward, because decisions still carry gradients.
    """

    begin: float = 0.0
    alpha: float = 0.1
    weight: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= 1:
            raise InputError(f"begin: {self.begin} must lie in [0, 1], the progress of training")

    def __call__(self, task_loss: Tensor, gates: GateRecords, progress: float) -> Tensor:
        """[N], each image's loss -> [], to be added to the loss."""
        if progress < self.begin:
            return task_loss.new_zeros(())
        return reinforce(task_loss, gates, self.alpha, self.weight)


def reinforce(task_loss: Tensor, gates: GateRecords, alpha: float = 0.1, weight: float = 0.01) -> Tensor:
    """A scalar whose gradient is that of the expected reward (see the file's head).

    Args:
        task_loss: L, [N], of each image; no gradient flows into it.
        gates: the records of the forward pass, in the order of execution.
        alpha: reward for skipping everything.
        weight: of the whole term, relative to the task's loss.

    Raises:
        InputError: there are no records, or `task_loss` is not one number per image.
    """
    if not gates:
        raise InputError("gates: no records; REINFORCE needs decisions to reward")
    logits = torch.cat([record.logits for record in gates.values()], dim=1)  # [N, S]
    is_open = torch.cat([record.open for record in gates.values()], dim=1).detach()
    if task_loss.shape != logits.shape[:1]:
        raise InputError(f"task_loss: shape {tuple(task_loss.shape)} must be ({len(logits)},), a loss for each image")
    saved = (1 - is_open) * alpha / is_open.shape[1]
    reward = saved.flip(1).cumsum(1).flip(1) - task_loss.detach()[:, None]
    surprise = F.binary_cross_entropy_with_logits(logits, is_open, reduction="none")  # -log p(open)
    return weight * (reward * surprise).sum(1).mean()
