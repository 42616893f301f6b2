"""CDFs and densities against SciPy's, and what a compiled step on a device asks of them.

Tolerances: 1e-12 and 1e-6 on F, as promised. A density's relative error is some tens of roundings: of x, of the
logarithms of its powers, and of exp.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch._subclasses.fake_tensor import FakeTensorMode

from sluicegate.errors import InputError
from sluicegate.objectives import Beta, Distribution, Normal, RelaxedBernoulli, Uniform

UNIT = np.concatenate([np.geomspace(1e-12, 0.5, 400), 1 - np.geomspace(1e-7, 0.5, 400), np.linspace(0.001, 0.999, 999)])
LINE = np.linspace(-6, 6, 1001)
F_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
DENSITY_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}

BETAS = [(0.6, 0.4), (0.5, 0.5), (1, 1), (1, 2), (2, 5), (5, 1), (0.1, 0.1), (0.1, 3), (10, 10), (30, 2), (2, 30)]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
PRIORS = pytest.mark.parametrize("prior", [Beta(0.6, 0.4), Normal(), Uniform(), RelaxedBernoulli(0.4)], ids=repr)


def _agree(ours: Distribution, expected: Any, grid: np.ndarray, dtype: torch.dtype) -> None:
    """Value, density, and the derivative of the value, at the numbers that the dtype makes of the grid."""
    x = torch.tensor(grid, dtype=dtype, requires_grad=True)
    at = x.detach().double().numpy()
    below = ours.cdf(x)
    (slope,) = torch.autograd.grad(below.sum(), x)
    assert below.dtype is slope.dtype is dtype
    np.testing.assert_allclose(below.detach().double().numpy(), expected.cdf(at), rtol=0, atol=F_TOLERANCE[dtype])
    np.testing.assert_allclose(slope.double().numpy(), expected.pdf(at), rtol=DENSITY_TOLERANCE[dtype], atol=1e-30)
    assert torch.equal(slope, ours.density(x.detach()))


@DTYPES
@pytest.mark.parametrize(("a", "b"), BETAS)
def test_beta(a: float, b: float, dtype: torch.dtype) -> None:
    _agree(Beta(a, b), stats.beta(a, b), UNIT, dtype)


@DTYPES
def test_normal(dtype: torch.dtype) -> None:
    _agree(Normal(0.5, 2), stats.norm(0.5, 2), LINE, dtype)


@DTYPES
def test_uniform(dtype: torch.dtype) -> None:
    _agree(Uniform(-1, 3), stats.uniform(-1, 4), LINE, dtype)


@DTYPES
def test_relaxed_bernoulli_is_a_squashed_logistic(dtype: torch.dtype) -> None:
    p, temperature = 0.4, 2 / 3
    noise: Any = stats.logistic()

    def cdf(x: np.ndarray) -> np.ndarray:
        return noise.cdf(temperature * special.logit(x) - special.logit(p))

    def pdf(x: np.ndarray) -> np.ndarray:
        return noise.pdf(temperature * special.logit(x) - special.logit(p)) * temperature / (x * (1 - x))

    _agree(RelaxedBernoulli(p, temperature), SimpleNamespace(cdf=cdf, pdf=pdf), UNIT, dtype)


def test_beta_of_one_half_is_the_arcsine() -> None:
    """A closed form, so that SciPy is not the only witness."""
    x = torch.tensor(UNIT)
    torch.testing.assert_close(Beta(0.5, 0.5).cdf(x), 2 / torch.pi * x.sqrt().asin(), rtol=0, atol=1e-12)


def test_beta_is_good_to_its_ends() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    below = Beta(0.6, 0.4).cdf(x)
    assert below.tolist() == [0, 0, 1, 1]
    (slope,) = torch.autograd.grad(below.sum(), x)
    assert slope[[0, 3]].tolist() == [0, 0]
    assert torch.isfinite(slope).all() and (slope[1:3] > 0).all()


@PRIORS
def test_derivative_is_that_of_finite_differences(prior: Distribution) -> None:
    x = torch.linspace(0.05, 0.95, 19, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(prior.cdf, x)


@pytest.mark.broad
@PRIORS
def test_compiles_in_one_graph(prior: Distribution) -> None:
    x = torch.linspace(0.01, 0.99, 64, requires_grad=True)
    compiled = torch.compile(prior.cdf, fullgraph=True, backend="aot_eager")
    below = compiled(x)
    (slope,) = torch.autograd.grad(below.sum(), x)
    torch.testing.assert_close(below, prior.cdf(x))
    torch.testing.assert_close(slope, prior.density(x.detach()))


@PRIORS
def test_never_looks_at_a_value(prior: Distribution) -> None:
    with FakeTensorMode():  # there is nothing to look at: .item() and bool() raise
        x = torch.rand(64, 3, requires_grad=True)
        prior.cdf(x).sum().backward()
        assert x.grad is not None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Beta(0, 0.4), "a: 0 must be greater than 0"),
        (lambda: Beta(0.6, -1), "b: -1 must be greater than 0"),
        (lambda: Normal(0, 0), "std: 0 must be greater than 0"),
        (lambda: Uniform(1, 1), "high: 1 must be greater than low, 1"),
        (lambda: RelaxedBernoulli(1.0), "probability: 1.0 must lie between 0 and 1"),
        (lambda: RelaxedBernoulli(0.5, 0), "temperature: 0 must be greater than 0"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()
