"""Estimators: hard forward, relaxed backward, the right odds; decisions in evaluation."""

import math

import pytest
import torch

from sluicegate import BinConcrete, GumbelSoftmax, ImprovedSemHash, InputError, StraightThrough, TopK
from sluicegate.gates import Estimator
from sluicegate.gates import estimators as module
from sluicegate.schedule import linear

NOISY = [BinConcrete(), BinConcrete(0.3), GumbelSoftmax(), GumbelSoftmax(2.0)]
ALL = [*NOISY, StraightThrough()]


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_forward_is_zero_or_one(estimator: Estimator) -> None:
    is_open = estimator(torch.randn(64, 32))
    assert set(is_open.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("estimator", NOISY, ids=repr)
@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.0])
def test_open_rate_is_the_sigmoid_of_the_logit(estimator: Estimator, logit: float) -> None:
    """Within 4.9 standard errors: a right estimator fails once in a million runs, and the seed is fixed."""
    torch.manual_seed(0)
    draws = 200_000
    rate = estimator(torch.full((draws, 1), logit)).mean().item()
    expected = 1 / (1 + math.exp(-logit))
    assert abs(rate - expected) < 4.9 * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("temperature", [2 / 3, 1.0, 2.0])
def test_gradient_is_that_of_the_relaxed_sample(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.rand(5, 3, dtype=torch.float64).clamp(0.01, 0.99)
    monkeypatch.setattr(module, "draw_uniform", lambda like: noise)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(BinConcrete(temperature)(logits).sum(), logits)
    u = (logits.detach() + torch.log(noise / (1 - noise))) / temperature
    expected = torch.exp(-u) / (1 + torch.exp(-u)) ** 2 / temperature  # the logistic density
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_decision_is_logit_above_threshold(estimator: Estimator) -> None:
    logits = torch.tensor([[-1.0, 0.0, 0.5, 2.0]])
    assert estimator.decide(logits).tolist() == [[0, 0, 1, 1]]
    assert estimator.decide(logits, 1.0).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("estimator", [BinConcrete, GumbelSoftmax])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(estimator: type[BinConcrete], temperature: float) -> None:
    with pytest.raises(InputError, match=r"temperature: .* must be greater than 0"):
        estimator(temperature)


def test_semhash_is_hard_for_half_of_the_images_and_soft_for_the_others() -> None:
    """Each bound is 4.9 standard errors: a right estimator fails once in a million runs, and the seed is fixed."""
    torch.manual_seed(0)
    images, logit = 40_000, 0.7
    is_open = ImprovedSemHash()(torch.full((images, 6), logit))
    hard = ((is_open == 0) | (is_open == 1)).all(1)
    # All six soft gates of an image are 0 or 1 by saturation with probability 1e-3 at most; see the next lines.
    saturated = 1 - _phi(math.log(11) - logit) + _phi(-math.log(11) - logit)
    share = 0.5 + 0.5 * saturated**6
    assert abs(hard.double().mean().item() - share) < 4.9 * math.sqrt(share * (1 - share) / images)
    rate, expected = is_open[hard].mean().item(), _phi(logit)
    assert abs(rate - expected) < 4.9 * math.sqrt(expected * (1 - expected) / (hard.sum().item() * 6)) + 1e-3


def test_both_halves_of_semhash_have_the_soft_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = torch.rand(64, 3, dtype=torch.float64).clamp(0.01, 0.99)
    monkeypatch.setattr(module, "draw_uniform", lambda like: uniform[:, : like.shape[1]])
    logits = (torch.randn(64, 3, dtype=torch.float64) * 2).requires_grad_()
    is_open = ImprovedSemHash()(logits)
    (grad,) = torch.autograd.grad(is_open.sum(), logits)
    noisy = logits.detach() + torch.distributions.Normal(0.0, 1.0).icdf(uniform)
    sigmoid = torch.sigmoid(noisy)
    soft = 1.2 * sigmoid - 0.1
    inside = (soft > 0) & (soft < 1)
    torch.testing.assert_close(grad, 1.2 * sigmoid * (1 - sigmoid) * inside, rtol=1e-12, atol=1e-12)
    is_hard = uniform[:, 0] < 0.5
    assert torch.equal(is_open[is_hard], (noisy[is_hard] > 0).double())
    torch.testing.assert_close(is_open[~is_hard], soft[~is_hard].clamp(0, 1))


def test_dropout_of_semhash_leaves_out_channels_and_scales_the_others() -> None:
    torch.manual_seed(0)
    logits, n = torch.full((50_000, 2), 3.0), 100_000
    estimator = ImprovedSemHash(linear(0.0, 0.2))
    for progress, rate in ((0.0, 0.0), (0.5, 0.1), (1.0, 0.2)):
        estimator.set_progress(progress)
        factor = estimator.factor(logits, torch.ones_like(logits))
        assert abs((factor == 0).double().mean().item() - rate) <= 4.9 * math.sqrt(rate * (1 - rate) / n)
        torch.testing.assert_close(factor[factor > 0].unique(), torch.tensor([1 / (1 - rate)]))
    assert not estimator.state_dict()
    estimator.eval()
    assert torch.equal(estimator.factor(logits, torch.ones_like(logits)), torch.ones_like(logits))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_must_leave_something(rate: float) -> None:
    with pytest.raises(InputError, match=r"dropout: .* is not in \[0, 1\)"):
        ImprovedSemHash(rate)


def _phi(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def test_soft_gumbel_softmax_is_a_relaxed_sample() -> None:
    torch.manual_seed(0)
    logits = torch.randn(256, 8, requires_grad=True)
    soft = GumbelSoftmax(hard=False)(logits)
    assert soft.min() > 0 and soft.max() < 1 and ((soft > 0.05) & (soft < 0.95)).any()
    torch.manual_seed(0)
    torch.randn(256, 8)
    assert torch.equal(GumbelSoftmax()(logits), (soft > 0.5).float())


def test_top_k_opens_the_largest_and_of_equals_the_first() -> None:
    logits = torch.tensor([[0.1, 3.0, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    for decide in (TopK(0.5), TopK(0.5).decide, TopK(0.5).sample):
        assert decide(logits).tolist() == [[0, 1, 0, 1], [1, 1, 0, 0]]
    assert TopK(0.01).decide(logits)[0].tolist() == [0, 1, 0, 0]


def test_boost_scales_open_channels_by_their_logit() -> None:
    logits = torch.tensor([[0.1, 3.0, 0.5, 2.0]])
    assert TopK(0.5, boost=True).factor(logits, TopK(0.5)(logits)).tolist() == [[0, 3, 0, 2]]
    assert TopK(0.5).factor(logits, TopK(0.5)(logits)).tolist() == [[0, 1, 0, 1]]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_share_of_open_gates_lies_in_its_range(share: float) -> None:
    with pytest.raises(InputError, match=r"share: .* must lie above 0"):
        TopK(share)


def test_a_temperature_may_be_scheduled() -> None:
    estimator = BinConcrete(linear(2.0, 0.5))
    assert not estimator.state_dict()
    for progress, temperature in ((0.0, 2.0), (0.5, 1.25), (1.0, 0.5)):
        estimator.set_progress(progress)
        torch.manual_seed(0)
        logits = torch.zeros(16, 4, requires_grad=True)
        (grad,) = torch.autograd.grad(estimator(logits).sum(), logits)
        torch.manual_seed(0)
        (expected,) = torch.autograd.grad(BinConcrete(temperature)(logits).sum(), logits)
        torch.testing.assert_close(grad, expected)
