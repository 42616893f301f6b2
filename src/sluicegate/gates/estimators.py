r"""Estimators: logits in, decisions in {0, 1} out, with a gradient.

Legend: N images, G gates.

A gate with logit l is open with probability sigmoid(l). Sampling by noise (Gumbel-max) with a relaxed gradient:

    BinConcrete(T)    open = [l + L > 0],              d open / d l = d sigmoid((l + L) / T) / d l,  L ~ Logistic(0, 1)
    GumbelSoftmax(T)  open = [l1 + g1 > l0 + g0],      the same with softmax over ((l0 + g0) / T, (l1 + g1) / T),
                                                       g ~ Gumbel(0, 1)

Sources: DLCG section 3.2 ("Gumbel max trick with sigmoid relaxation"); batch shaping (ICLR 2020) section 3.1, whose
BinConcrete temperature is 2/3; ConvNet-AIG's two-logit gate as DLCG section 2.2 and stochastic gates section 3
describe it. The difference of two Gumbel draws is one logistic draw, so the two differ in the head (one or two
outputs a gate) and in the temperature only.

In evaluation every estimator except `TopK` is `logit > threshold`; export and engine support no other rule.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.noise import draw_uniform

Scheduled = float | Callable[[float], float]
"""A number, or a schedule: training progress in [0, 1] -> number."""


class Estimator(nn.Module, ABC):
    """Turns logits into decisions; `logits_per_gate` says how many outputs of the head make one gate.

    In training a decision may lie between 0 and 1 (a soft sample); in evaluation it is 0 or 1.
    """

    logits_per_gate: int = 1
    per_gate: bool = True
    """Whether a gate's decision depends on its own logit alone, and not on those of its site."""

    def set_progress(self, progress: float) -> None:
        """Set the progress of training, in [0, 1], for schedules inside."""
        for part in self.modules():
            if isinstance(part, _Scheduled):
                part.set_progress(progress)

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
        """The factor of the mask, [N, G]: the decision itself, unless open channels are scaled too."""
        return is_open


class BinConcrete(Estimator):
    """The binary concrete relaxation, hard in the forward pass (see the file's head).

    Args:
        temperature: T > 0, or a schedule of it; batch shaping and DLCG use 2/3.
    """

    def __init__(self, temperature: Scheduled = 2 / 3) -> None:
        super().__init__()
        self.relax = _Relaxation(temperature)

    def forward(self, logits: Tensor) -> Tensor:
        return _hardened(self.relax(logits + _logistic(logits)))


class GumbelSoftmax(Estimator):
    """Two logits a gate (off, on) under Gumbel softmax (see the top of the file).

    The gate passes on the difference on - off; the two-way softmax depends on nothing else.

    Args:
        temperature: T > 0, or a schedule of it; ConvNet-AIG uses 1.
        hard: True: straight-through, 0 or 1 in the forward pass. False: training uses the soft sample.
    """

    logits_per_gate = 2

    def __init__(self, temperature: Scheduled = 1.0, hard: bool = True) -> None:
        super().__init__()
        self.relax = _Relaxation(temperature)
        self.hard = hard

    def forward(self, logits: Tensor) -> Tensor:
        soft = self.relax(logits + _logistic(logits))
        return _hardened(soft) if self.hard else soft


class StraightThrough(Estimator):
    """No noise: open = [logit > 0], gradient of sigmoid(logit) (Bengio et al. 2013, cited by all five papers)."""

    def forward(self, logits: Tensor) -> Tensor:
        return _hardened(torch.sigmoid(logits))


class StraightThroughPolicy(Estimator):
    """A straight-through gate, later a policy: SkipNet's supervised warm-up, then its reinforcement learning.

    As a policy a gate with logit l is open with probability sigmoid(l), and the draw carries no gradient (`Reinforce`
    gives the logits theirs).

    Args:
        begin: progress in [0, 1] at which it becomes a policy.
    """

    def __init__(self, begin: float) -> None:
        super().__init__()
        self.begin = begin
        self.draws = begin <= 0

    def set_progress(self, progress: float) -> None:
        self.draws = progress >= self.begin

    def forward(self, logits: Tensor) -> Tensor:
        soft = torch.sigmoid(logits)
        return (draw_uniform(logits) < soft).to(logits.dtype) if self.draws else _hardened(soft)


class ImprovedSemHash(Estimator):
    """GaterNet's estimator (section 3.2.2): half of the images see soft gates, the others hard ones.

        g' = l + eps, eps ~ N(0, 1)     soft = min(1, max(0, 1.2 sigmoid(g') - 0.1))     hard = [g' > 0]

    The gradient is that of the soft gate in both halves. A gate with logit l is hard-open with probability Phi(l).

    Args:
        dropout: share of decisions, in [0, 1), whose channels are left out in training, whatever was decided; the
            others' are scaled by 1 / (1 - dropout). A number, or a schedule: the paper's rises to 0.05 (appendix B).
    """

    def __init__(self, dropout: Scheduled = 0.0) -> None:
        super().__init__()
        self.dropout = _Scheduled("dropout", dropout, _share) if dropout != 0.0 else None

    def forward(self, logits: Tensor) -> Tensor:
        noisy = logits + _normal(logits)
        soft = (1.2 * torch.sigmoid(noisy) - 0.1).clamp(0, 1)
        hard = (noisy > 0).to(logits.dtype)
        is_hard = draw_uniform(logits[:, :1]) < 0.5  # [N, 1]
        return torch.where(is_hard, hard + (soft - soft.detach()), soft)

    def factor(self, logits: Tensor, is_open: Tensor) -> Tensor:
        if self.dropout is None or not self.training:
            return is_open
        rate = self.dropout.value
        return is_open * (draw_uniform(logits) >= rate) / (1 - rate)


class TopK(Estimator):
    """The k largest logits of each image are open, in training too; of equal logits the first (FBS).

    Args:
        share: k as a share of the gates, in (0, 1]; at least one gate is open.
        boost: open channels are multiplied by their logit (FBS boosts by saliency), which is how the head learns.
    """

    per_gate = False

    def __init__(self, share: float = 0.5, boost: bool = False) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise InputError(f"share: {share} must lie above 0 and at most at 1")
        self.share = share
        self.boost = boost

    def count(self, gates: int) -> int:
        """k of so many gates."""
        return max(1, round(self.share * gates))

    def forward(self, logits: Tensor) -> Tensor:
        return self.decide(logits)

    def decide(self, logits: Tensor, threshold: float = 0.0) -> Tensor:
        order = logits.argsort(dim=1, descending=True, stable=True)[:, : self.count(logits.shape[1])]
        return torch.zeros_like(logits).scatter(1, order, 1.0)

    def sample(self, logits: Tensor) -> Tensor:
        return self.decide(logits)

    def factor(self, logits: Tensor, is_open: Tensor) -> Tensor:
        return is_open * logits if self.boost else is_open


def _logistic(like: Tensor) -> Tensor:
    return draw_uniform(like).logit()


def _normal(like: Tensor) -> Tensor:
    return torch.special.ndtri(draw_uniform(like))


def check_scheduled(name: str, value: Scheduled) -> None:
    """InputError unless a value is a number or a schedule; text is read by `parse_schedule`."""
    if not callable(value) and not isinstance(value, Real):
        raise InputError(f"{name}: {value!r} must be a number or a schedule, such as schedule.linear(1, 0)")


class _Scheduled(nn.Module):
    """A number, or what a schedule says now. The latter is a buffer, so that setting it compiles nothing anew; it is no
    part of the state, since progress sets it before each step."""

    value: float | Tensor

    def __init__(self, name: str, value: Scheduled, check: Callable[[str, float], float]) -> None:
        super().__init__()
        check_scheduled(name, value)
        self.name, self.check = name, check
        self.schedule = value if callable(value) else None
        if callable(value):
            self.register_buffer("value", torch.tensor(check(name, value(0.0))), False)
        else:
            self.value = check(name, value)

    def set_progress(self, progress: float) -> None:
        if self.schedule is not None:
            assert isinstance(self.value, Tensor)
            self.value.fill_(self.check(self.name, self.schedule(progress)))


class _Relaxation(nn.Module):
    """sigmoid(x / T)."""

    def __init__(self, temperature: Scheduled) -> None:
        super().__init__()
        self.temperature = _Scheduled("temperature", temperature, _positive)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x / self.temperature.value)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature.value}"


def _hardened(soft: Tensor) -> Tensor:
    """1 above a half, else 0, with the gradient of the soft sample."""
    return _Hardened.apply(soft)  # type: ignore[no-any-return]


class _Hardened(torch.autograd.Function):
    """Forward is hard, backward is soft."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor) -> Tensor:
        return (soft > 0.5).to(soft.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise InputError(f"{name}: {value} must be greater than 0")
    return value


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise InputError(f"{name}: {value} is not in [0, 1)")
    return value
