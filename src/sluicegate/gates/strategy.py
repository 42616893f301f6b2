"""Strategies: how a gate decides once it is trained.

Legend: N images, G gates. A strategy is one callable of (estimator, logits [N, G], training) -> open [N, G].
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates.estimators import Estimator


class Strategy(ABC):
    """How gates decide; frozen, so one may be shared by all gates of a network."""

    @abstractmethod
    def __call__(self, estimator: Estimator, logits: Tensor, training: bool) -> Tensor:
        """[N, G] logits -> open [N, G]."""


@dataclass(frozen=True)
class Threshold(Strategy):
    """In evaluation a gate is open if sigmoid(logit) > threshold; in training the estimator samples.

    Args:
        threshold: in (0, 1); higher closes more gates.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold: {self.threshold} must lie between 0 and 1")

    @property
    def logit(self) -> float:
        """Above which a gate is open."""
        return math.log(self.threshold / (1 - self.threshold))

    def __call__(self, estimator: Estimator, logits: Tensor, training: bool) -> Tensor:
        return estimator(logits) if training else estimator.decide(logits, self.logit)


@dataclass(frozen=True)
class Stochastic(Strategy):
    """In evaluation a gate is open with probability sigmoid(logit) (stochastic gates, section 3.3)."""

    def __call__(self, estimator: Estimator, logits: Tensor, training: bool) -> Tensor:
        return estimator(logits) if training else estimator.sample(logits)


@dataclass(frozen=True)
class Ensemble(Strategy):
    """Several stochastic passes over each image, whose probabilities are averaged (stochastic gates, section 3.3).

    A call of the network is one pass; `train.evaluate` runs all passes and adds up their MACs.

    Args:
        passes: how many; the paper has 5.
    """

    passes: int = 5

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise InputError(f"passes: {self.passes} must be at least 1")

    def __call__(self, estimator: Estimator, logits: Tensor, training: bool) -> Tensor:
        return estimator(logits) if training else estimator.sample(logits)


@dataclass(frozen=True)
class AlwaysOn(Strategy):
    """Every gate is open, in training too, and no image leaves early: the gated network equals the plain one."""

    def __call__(self, estimator: Estimator, logits: Tensor, training: bool) -> Tensor:
        return torch.ones_like(logits)
