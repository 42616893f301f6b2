r"""Distributions that a feature may be shaped to: CDF and density in pure torch, on any device and floating dtype.

    Beta(a, b)                F(x) = I_x(a, b), the regularised incomplete beta function
    Normal(mean, std)         F(x) = Phi((x - mean) / std)
    Uniform(low, high)        F(x) = (x - low) / (high - low)
    RelaxedBernoulli(p, T)    F(x) = sigmoid(T logit(x) - logit(p)), of sigmoid((logit(p) + L) / T), L ~ Logistic(0, 1):
                              the binary concrete (Maddison et al. 2017, appendix B)

I_x(a, b) is the continued fraction of Abramowitz and Stegun 26.5.8,

    I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) * 1 / (1 + d_1 x / (1 + d_2 x / (1 + ...)))
    d_2m     =  m (b - m) / ((a + 2m - 1) (a + 2m))
    d_2m+1   = -(a + m) (a + b + m) / ((a + 2m) (a + 2m + 1))

for x up to (a + 1) / (a + b + 2), and 1 - I_{1-x}(b, a) beyond. a and b are numbers, so the d's are, and how many of
them double precision needs is known beforehand: a call is elementwise arithmetic, without loops on data, without SciPy
and without a host that waits for the device.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluicegate.errors import InputError


class Distribution(ABC):
    """Of one real number. A new one says `below` and `density`; `cdf` makes a differentiable function of the two."""

    @abstractmethod
    def below(self, x: Tensor) -> Tensor:
        """F(x), elementwise: the probability of a value up to x. Not for autograd."""

    @abstractmethod
    def density(self, x: Tensor) -> Tensor:
        """dF/dx, elementwise. Finite everywhere. Not for autograd."""

    def cdf(self, x: Tensor) -> Tensor:
        """F(x), elementwise, differentiable once."""
        return _Cdf.apply(x, self)  # pyright: ignore[reportReturnType]


class _Cdf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, distribution: Distribution) -> Tensor:
        ctx.save_for_backward(distribution.density(x))
        return distribution.below(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (density,) = ctx.saved_tensors
        return grads[0] * density, None


@dataclass(frozen=True)
class Beta(Distribution):
    """Beta distribution on [0, 1]; a = 0.6, b = 0.4 is batch shaping's prior of gates (ICLR 2020, section 4.2).

    Within 1e-12 of the truth in float64 and 1e-6 in float32, where the rounding of x itself costs (a + b) 3e-8. The
    density at 0 and 1, where it may be infinite, is taken a little inside.

    Args:
        a, b: greater than 0.
    """

    a: float
    b: float
    _lower: "_Tail" = field(init=False, repr=False, compare=False)
    _upper: "_Tail" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_positive(a=self.a, b=self.b)
        middle = (self.a + 1) / (self.a + self.b + 2)
        object.__setattr__(self, "_lower", _tail(self.a, self.b, middle))
        object.__setattr__(self, "_upper", _tail(self.b, self.a, 1 - middle))

    def below(self, x: Tensor) -> Tensor:
        x = x.clamp(0, 1)
        return torch.where(x < self._lower.end, _tail_mass(x, self._lower), 1 - _tail_mass(1 - x, self._upper))

    def density(self, x: Tensor) -> Tensor:
        inside = _inside(x)
        log_density = (self.a - 1) * inside.log() + (self.b - 1) * torch.log1p(-inside) - _log_beta(self.a, self.b)
        return torch.where((x < 0) | (x > 1), 0, log_density.exp())


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution.

    Args:
        mean, std: std is greater than 0.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(std=self.std)

    def below(self, x: Tensor) -> Tensor:
        return torch.special.ndtr((x - self.mean) / self.std)

    def density(self, x: Tensor) -> Tensor:
        z = (x - self.mean) / self.std
        return torch.exp(-z.square() / 2) / (self.std * math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution on [low, high]. Its density outside is 0: values there feel no pull."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"high: {self.high} must be greater than low, {self.low}")

    def below(self, x: Tensor) -> Tensor:
        return ((x - self.low) / (self.high - self.low)).clamp(0, 1)

    def density(self, x: Tensor) -> Tensor:
        return ((x >= self.low) & (x <= self.high)).to(x.dtype) / (self.high - self.low)


@dataclass(frozen=True)
class RelaxedBernoulli(Distribution):
    """What `BinConcrete(temperature)` samples before it is made hard, on (0, 1).

    Args:
        probability: p in (0, 1) of a 1.
        temperature: T > 0.
    """

    probability: float
    temperature: float = 2 / 3

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise InputError(f"probability: {self.probability} must lie between 0 and 1")
        _check_positive(temperature=self.temperature)

    def below(self, x: Tensor) -> Tensor:
        return self._noise(x.clamp(0, 1)).sigmoid()

    def density(self, x: Tensor) -> Tensor:
        inside = _inside(x)
        noise = self._noise(inside)
        slope = self.temperature * noise.sigmoid() * (-noise).sigmoid() / (inside * (1 - inside))
        return torch.where((x < 0) | (x > 1), 0, slope)

    def _noise(self, x: Tensor) -> Tensor:
        """The L that makes x."""
        return self.temperature * x.logit() - _logit(self.probability)


class _Tail(NamedTuple):
    """I_x(a, b) for x in [0, end]: factors d_1, d_2, ... of the continued fraction, and what stands before it at x =
    end."""

    a: float
    b: float
    end: float
    factors: tuple[float, ...]
    scale: float


def _tail(a: float, b: float, end: float) -> _Tail:
    log_scale = a * math.log(end) + b * math.log1p(-end) - math.log(a) - _log_beta(a, b)
    return _Tail(a, b, end, _factors(a, b, end), math.exp(log_scale))


def _factors(a: float, b: float, end: float) -> tuple[float, ...]:
    """As many as double precision needs at `end`, where the fraction converges slowest."""
    depth = 4
    while True:
        deep = [_factor(a, b, n) for n in range(1, 2 * depth + 1)]
        here, far = (_fraction(end, deep[:n]) for n in (depth, 2 * depth))
        if math.isclose(here, far, rel_tol=1e-15):
            return tuple(deep[:depth])
        depth += 4


def _factor(a: float, b: float, n: int) -> float:
    m = n // 2
    if n % 2 == 0:
        return m * (b - m) / ((a + n - 1) * (a + n))
    return -(a + m) * (a + b + m) / ((a + n - 1) * (a + n))


def _fraction(x: Any, factors: Any) -> Any:
    """1 + d_1 x / (1 + d_2 x / (1 + ...)) from the inside out, of a number or a tensor."""
    value = 1.0
    for factor in reversed(factors):
        value = 1 + factor * x / value
    return value


def _tail_mass(x: Tensor, tail: _Tail) -> Tensor:
    """I_x(a, b). Powers are taken of x / end, which keeps their logarithms small and so their rounding."""
    x = x.clamp(max=tail.end)
    log_power = tail.a * (x / tail.end).log() + tail.b * (torch.log1p(-x) - math.log1p(-tail.end))
    return tail.scale * log_power.exp() / _fraction(x, tail.factors)


def _inside(x: Tensor) -> Tensor:
    """Within (0, 1), where no power is infinite: 1 - eps / 2 is the number before 1."""
    eps = torch.finfo(x.dtype).eps
    return x.clamp(eps**2, 1 - eps / 2)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name}: {value} must be greater than 0")
