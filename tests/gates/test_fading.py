import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.gates import BinConcrete, FadingNoise
from sluicegate.schedule import linear


def drawn(estimator, logits, seed=0):
    torch.manual_seed(seed)
    return estimator(logits)


def test_full_noise_is_that_of_a_binary_concrete_gate():
    logits = torch.randn(50, 8, requires_grad=True)
    ours, theirs = (drawn(one, logits) for one in (FadingNoise(1.0, 2 / 3), BinConcrete(2 / 3)))
    assert torch.equal(ours.round(), theirs)
    gradients = [torch.autograd.grad(one.sum(), logits)[0] for one in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_without_noise_training_decides_as_evaluation_does():
    estimator = FadingNoise(linear(1, 0, 0, 0.7))
    logits = torch.randn(500, 8)
    assert not torch.equal(drawn(estimator, logits), estimator.decide(logits))
    estimator.set_progress(0.7)
    assert torch.equal(drawn(estimator, logits), estimator.decide(logits))


def test_the_temperature_is_that_of_the_gradient_alone():
    logits = torch.randn(50, 8, requires_grad=True)
    made = [drawn(FadingNoise(0.0, temperature), logits) for temperature in (0.5, 4.0)]
    assert torch.equal(*made)
    sharp, flat = (torch.autograd.grad(one.sum(), logits)[0] for one in made)
    assert sharp.max() > 4 * flat.max()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"noise": -0.1}, "noise: -0.1"),
        ({"noise": float("nan")}, "noise: nan"),
        ({"temperature": 0.0}, "temperature: 0.0"),
    ],
)
def test_a_value_outside_its_range_is_refused(options, named):
    with pytest.raises(InputError, match=named):
        FadingNoise(**options)


def test_a_schedule_is_checked_where_it_goes():
    estimator = FadingNoise(linear(1, -1))
    with pytest.raises(InputError, match="noise: -1"):
        estimator.set_progress(1.0)


@pytest.mark.parametrize("make", [FadingNoise, BinConcrete])
def test_text_is_no_schedule(make):
    with pytest.raises(InputError, match=r"^\w+: 'linear\(1, 0\)' must be a number or a schedule"):
        make("linear(1, 0)")
