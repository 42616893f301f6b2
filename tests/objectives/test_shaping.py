"""Batch shaping against eq. 2 in NumPy, autograd through the sort, and the pseudo-code of appendix A.

Legend: N images, K gates.
"""

import numpy as np
import pytest
import torch
from gate_records import random_records
from scipy import stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.spawn import spawn

import sluicegate as sg
from sluicegate.objectives import Beta, Distribution, Normal, RelaxedBernoulli, Uniform, batch_shaping

N, K = 64, 5
RTOL = {torch.float32: 2e-5, torch.float64: 1e-11}  # as of the densities: tests/objectives/test_distributions.py
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
PRIORS = {
    "beta": (Beta(0.6, 0.4), stats.beta(0.6, 0.4)),
    "normal": (Normal(0.4, 0.2), stats.norm(0.4, 0.2)),
    "uniform": (Uniform(0, 1), stats.uniform(0, 1)),
}


def _features(dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(N, K, dtype=dtype).sigmoid().requires_grad_()


def _equation_2(x: np.ndarray, cdf) -> np.ndarray:
    ranks = np.arange(1, len(x) + 1)[:, None] / (len(x) + 1)
    return ((ranks - cdf(np.sort(x, axis=0))) ** 2).sum(0) / len(x)


@DTYPES
@pytest.mark.parametrize("name", PRIORS)
def test_value_is_equation_2(name: str, dtype: torch.dtype) -> None:
    prior, expected = PRIORS[name]
    x = _features(dtype)
    value = batch_shaping(x, prior).detach().double().numpy()
    np.testing.assert_allclose(value, _equation_2(x.detach().double().numpy(), expected.cdf), rtol=RTOL[dtype])


@DTYPES
@pytest.mark.parametrize("name", PRIORS)
def test_gradient_is_the_pseudo_code_of_appendix_a(name: str, dtype: torch.dtype) -> None:
    """Times 1/N, which eq. 2 has and the appendix leaves out."""
    prior, expected = PRIORS[name]
    x = _features(dtype)
    (ours,) = torch.autograd.grad(batch_shaping(x, prior).sum(), x)
    for column, gradient in zip(x.detach().double().numpy().T, ours.double().numpy().T, strict=True):
        places = np.argsort(column)
        gap = np.arange(1, 1 + N) / (N + 1) - expected.cdf(column[places])
        undone = np.empty(N)
        undone[places] = -2 * expected.pdf(column[places]) * gap
        np.testing.assert_allclose(gradient, undone / N, rtol=RTOL[dtype], atol=1e-12 if dtype.itemsize == 8 else 1e-7)


@pytest.mark.parametrize("name", PRIORS)
def test_gradient_is_autograds_through_the_sort(name: str) -> None:
    prior, _ = PRIORS[name]
    x, weight = _features(torch.float64), torch.rand(K, dtype=torch.float64)
    ranks = torch.arange(1, N + 1, dtype=torch.float64)[:, None] / (N + 1)
    oracle = (ranks - prior.cdf(x.sort(0).values)).square().mean(0)
    ours = batch_shaping(x, prior)
    (expected,) = torch.autograd.grad((oracle * weight).sum(), x)
    (gradient,) = torch.autograd.grad((ours * weight).sum(), x)
    torch.testing.assert_close(ours, oracle)
    torch.testing.assert_close(gradient, expected)


def test_gradient_is_that_of_finite_differences() -> None:
    x = torch.rand(7, 2, 3, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: batch_shaping(x, Beta(0.6, 0.4)), x)


def test_any_shape_is_shaped_entry_by_entry() -> None:
    x = torch.rand(N, 2, 3, 4)
    flat = batch_shaping(x.flatten(1), Uniform())
    assert torch.equal(batch_shaping(x, Uniform()), flat.view(2, 3, 4))


def test_quantiles_of_the_prior_have_no_loss() -> None:
    x = torch.tensor(stats.beta(0.6, 0.4).ppf(np.arange(1, N + 1) / (N + 1)))[torch.randperm(N), None]
    assert batch_shaping(x, Beta(0.6, 0.4)).item() < 1e-20


def test_half_precision_is_computed_in_single() -> None:
    x = torch.rand(N, K).bfloat16()
    assert torch.equal(batch_shaping(x, Normal()), batch_shaping(x.float(), Normal()))


def test_descent_moves_a_feature_to_the_prior() -> None:
    """In Kolmogorov's distance; 1 / (N + 1) is what quantiles of the prior itself have."""
    x = torch.full((N, 1), 2.0).add(torch.linspace(-0.01, 0.01, N)[:, None]).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        batch_shaping(x, Normal()).sum().backward()
        optimizer.step()
    assert stats.kstest(x.detach().numpy()[:, 0], "norm").statistic < 2 / (N + 1)


@pytest.mark.parametrize("reduction", ["sum", "site_mean", "mean"])
def test_gates_are_shaped_by_their_probabilities(reduction) -> None:
    gates = random_records()
    cdf = stats.beta(0.6, 0.4).cdf
    a, b = (_equation_2(gates[s].logits.detach().sigmoid().numpy(), cdf) for s in ("a.conv", "b.conv"))
    expected = {"sum": a.sum() + b.sum(), "site_mean": a.mean() + b.mean(), "mean": np.concatenate([a, b]).mean()}
    value = sg.BatchShaping(reduction=reduction)(gates, 0.0)
    np.testing.assert_allclose(value.item(), expected[reduction], rtol=1e-11)


def test_relaxed_samples_of_equal_gates_are_relaxed_bernoulli() -> None:
    """Kolmogorov-Smirnov at 1e-4 of four gates on 4,000 images, at the prior's probability and temperature."""
    torch.manual_seed(0)
    shaping = sg.BatchShaping(shaped="sample", temperature=0.5)
    values = shaping.values(torch.full((4000, 4), np.log(0.3 / 0.7), dtype=torch.float64))
    prior = RelaxedBernoulli(0.3, 0.5)
    for column in values.numpy().T:
        assert stats.kstest(column, lambda x: prior.cdf(torch.from_numpy(x)).numpy()).pvalue > 1e-4


def test_saturated_gates_have_a_finite_gradient() -> None:
    gates = random_records(torch.float32)
    logits = torch.tensor([[-200.0, -20, 0, 200]] * 8).requires_grad_()
    gates["a.conv"] = gates["a.conv"]._replace(logits=logits)
    (gradient,) = torch.autograd.grad(sg.BatchShaping()(gates, 0.0), logits)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("prior", [prior for prior, _ in PRIORS.values()], ids=list(PRIORS))
def test_compiles_in_one_graph(prior: Distribution) -> None:
    x = _features(torch.float32)
    value = torch.compile(batch_shaping, fullgraph=True, backend="aot_eager")(x, prior)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    (expected,) = torch.autograd.grad(batch_shaping(x, prior).sum(), x)
    torch.testing.assert_close(value, batch_shaping(x, prior))
    torch.testing.assert_close(gradient, expected)


def test_never_looks_at_a_value() -> None:
    with FakeTensorMode():  # there is nothing to look at: .item() and bool() raise
        x = torch.rand(N, K, requires_grad=True)
        batch_shaping(x, Beta(0.6, 0.4)).sum().backward()
        assert x.grad is not None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sg.BatchShaping(shaped="logit"), "shaped: 'logit' must be one of probability, sample"),  # type: ignore[arg-type]
        (lambda: sg.BatchShaping(temperature=0), "temperature: 0 must be greater than 0"),
        (lambda: batch_shaping(torch.zeros(4, 2, dtype=torch.int64), Uniform()), "x: torch.int64 is not a floating"),
        (lambda: batch_shaping(torch.tensor(0.5), Uniform()), r"x: shape \(\) has no batch"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(sg.InputError, match=message):
        build()


def _shape_everywhere(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    whole = torch.rand(8, 3, dtype=torch.float64).requires_grad_()
    value = batch_shaping(whole[rank::2], Beta(0.6, 0.4))
    value.sum().backward()
    gradient = whole.grad.clone()  # type: ignore[union-attr]
    torch.distributed.all_reduce(gradient)
    torch.distributed.destroy_process_group()
    single = whole.detach().requires_grad_()
    expected = batch_shaping(single, Beta(0.6, 0.4))
    expected.sum().backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient / 2, single.grad)  # DDP averages gradients over the processes


@pytest.mark.broad
def test_value_and_gradient_speak_of_the_global_batch(tmp_path) -> None:
    spawn(_shape_everywhere, (str(tmp_path),), nprocs=2)
