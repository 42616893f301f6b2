"""Estimators: hard forward, relaxed backward, the right odds; decisions in evaluation."""

import math

import pytest
import torch

from sluicegate import BinConcrete, GumbelSoftmax, InputError, StraightThrough
from sluicegate.gates import Estimator
from sluicegate.gates import estimators as module

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


def test_noise_of_a_process_is_its_rows_of_the_global_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    whole = module.draw_uniform(torch.empty(6, 4))
    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(module.dist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        assert torch.equal(module.draw_uniform(torch.empty(3, 4)), whole[rank::2])


@pytest.mark.parametrize("estimator", [BinConcrete, GumbelSoftmax])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(estimator: type[BinConcrete], temperature: float) -> None:
    with pytest.raises(InputError, match=r"temperature: .* must be greater than 0"):
        estimator(temperature)
