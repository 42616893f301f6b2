"""Losses on gates, added to the task's loss: objectives, and weighted sums of them.

Legend: N images, G gates.

With several processes a gate's batch rate must be that of the global batch, otherwise R processes would train another
objective than one process. `batch_rate` averages over the processes. Each process passes the gradient to its own
images; DDP averages these gradients, which gives the gradient of the global objective.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.gates import GateRecords
from sluicegate.schedule import Schedule, parse_schedule


class Objective(nn.Module, ABC):
    """A scalar to minimise, added to the task's loss. It is a module because some objectives keep averages."""

    @abstractmethod
    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        """The objective's value.

        Args:
            gates: the records of one forward pass.
            progress: share of training that is done, in [0, 1].

        Returns:
            [], differentiable.
        """


class WeightedSum(Objective):
    """sum_i w_i(progress) * objective_i.

    Args:
        parts: name -> (weight, objective); a weight is a number or a schedule.
    """

    def __init__(self, parts: Mapping[str, tuple[float | Schedule, Objective]]) -> None:
        super().__init__()
        if not parts:
            raise InputError("parts: {} must name at least one objective")
        self.weights: dict[str, Schedule] = {name: parse_schedule(weight) for name, (weight, _) in parts.items()}
        self.parts = nn.ModuleDict({name: objective for name, (_, objective) in parts.items()})

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        terms = [self.weights[name](progress) * part(gates, progress) for name, part in self.parts.items()]
        return torch.stack(terms).sum()


def batch_rate(is_open: Tensor) -> Tensor:
    """[N, G] -> [G], the share of the global batch's images for which each gate is open.

    Every process must hold equally many images.
    """
    local = is_open.mean(0)
    if not dist.is_initialized():
        return local
    everywhere = local.detach().clone()
    dist.all_reduce(everywhere)
    return local + (everywhere / dist.get_world_size() - local.detach())


def gather_batch(x: Tensor) -> Tensor:
    """[N, ...] -> [R N, ...], the rows of all R processes, for losses that are no mean over images.

    The gradient flows into a process's own rows, R times what it is: DDP's average is then that of the global loss.
    Every process must hold equally many images.
    """
    if not dist.is_initialized():
        return x
    world = dist.get_world_size()
    everywhere = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(everywhere, x.detach().contiguous())
    everywhere[dist.get_rank()] = x + (world - 1) * (x - x.detach())
    return torch.cat(everywhere)
