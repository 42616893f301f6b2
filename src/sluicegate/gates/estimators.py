r"""Estimators: logits in, decisions in {0, 1} out, with a gradient.

Legend: N images, G gates.

A gate with logit l is open with probability sigmoid(l). Sampling by noise (Gumbel-max) with a relaxed gradient:

    BinConcrete(T)    open = [l + L > 0],              d open / d l = d sigmoid((l + L) / T) / d l,    L ~ Logistic(0,
    1) GumbelSoftmax(T)  open = [l1 + g1 > l0 + g0],      the same with softmax over ((l0 + g0) / T, (l1 + g1) / T), g
    ~ Gumbel(0, 1)

Sources: DLCG section 3.2 ("Gumbel max trick with sigmoid relaxation"); batch shaping (ICLR 2020) section 3.1, whose
BinConcrete temperature is 2/3; ConvNet-AIG's two-logit gate as DLCG section 2.2 and stochastic gates section 3
describe it. The difference of two Gumbel draws is one logistic draw, so the two differ in the head (one or two
outputs a gate) and in the temperature only.

In evaluation every estimator is `logit > threshold`: export and engine know no other rule.
"""

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sluicegate.errors import InputError


class Estimator(nn.Module, ABC):
    """Turns logits into decisions; `logits_per_gate` says how many outputs of the head make one gate.

    In training a decision may lie between 0 and 1 (a soft sample); in evaluation it is 0 or 1.
    """

    logits_per_gate: int = 1

    @abstractmethod
    def forward(self, logits: Tensor) -> Tensor:
        """Sample for training: [N, G] logits -> [N, G] in [0, 1], differentiable."""

    def decide(self, logits: Tensor, threshold: float = 0.0) -> Tensor:
        """Decide for evaluation: [N, G] logits -> [N, G] in {0, 1}."""
        return (logits > threshold).to(logits.dtype)

    def sample(self, logits: Tensor) -> Tensor:
        """Draw for evaluation: [N, G] logits -> [N, G] in {0, 1}."""
        return torch.bernoulli(torch.sigmoid(logits))

    def factor(self, logits: Tensor, is_open: Tensor) -> Tensor:
        """What a mask multiplies channels by: [N, G]; a decision itself, unless open channels are scaled too."""
        return is_open


class BinConcrete(Estimator):
    """The binary concrete relaxation, hard in the forward pass (see the file's head).

    Args:
        temperature: T > 0; batch shaping and DLCG use 2/3.
    """

    def __init__(self, temperature: float = 2 / 3) -> None:
        super().__init__()
        self.temperature = _positive("temperature", temperature)

    def forward(self, logits: Tensor) -> Tensor:
        return _relaxed_step(logits + _logistic(logits), self.temperature)


class GumbelSoftmax(Estimator):
    """Two logits a gate (off, on) under the straight-through Gumbel-softmax (see the file's head).

    The gate hands over the difference on - off, which is all that the two-way softmax depends on.

    Args:
        temperature: T > 0; ConvNet-AIG uses 1.
    """

    logits_per_gate = 2

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = _positive("temperature", temperature)

    def forward(self, logits: Tensor) -> Tensor:
        return _relaxed_step(logits + _logistic(logits), self.temperature)


class StraightThrough(Estimator):
    """No noise: open = [logit > 0], gradient of sigmoid(logit) (Bengio et al. 2013, cited by all five papers)."""

    def forward(self, logits: Tensor) -> Tensor:
        return _relaxed_step(logits, 1.0)


def draw_uniform(like: Tensor) -> Tensor:
    """U(0, 1) shaped like `like` [N, G], never exactly 0 or 1.

    On R processes each draws for the global batch and keeps rows [rank::R]: with equal seeds (Lightning's default) the
    processes would otherwise share their noise, and a run on R processes would differ from a run on one.
    """
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    noise = torch.rand(like.shape[0] * world, *like.shape[1:], dtype=like.dtype, device=like.device)[rank::world]
    tiny = torch.finfo(like.dtype).eps
    return noise.clamp(tiny, 1 - tiny)


def _logistic(like: Tensor) -> Tensor:
    return draw_uniform(like).logit()


def _relaxed_step(logits: Tensor, temperature: float) -> Tensor:
    soft = torch.sigmoid(logits / temperature)
    hard = (logits > 0).to(logits.dtype)
    return hard + (soft - soft.detach())  # the bracket is exactly 0: forward is hard, backward is soft


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise InputError(f"{name}: {value} must be greater than 0")
    return value
