"""Masks: values and gradients against the plain product, for hard and soft factors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sluicegate.gates.mask import mask_channels, mask_layer, masked_relu, masked_sum

N, C = 5, 6
FACTORS = {"hard": lambda g: torch.randint(2, (N, g)).double(), "scaling": lambda g: 2 * torch.rand(N, g).double()}


def _spread(factor: Tensor, x: Tensor) -> Tensor:
    return factor.repeat_interleave(C // factor.shape[1], dim=1).reshape(N, C, *(1,) * (x.dim() - 2))


PLAIN: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "channels": (lambda x, f, s: mask_channels(x, f), lambda x, f, s: x * _spread(f, x)),
    "relu": (lambda x, f, s: masked_relu(x.clone(), f), lambda x, f, s: x.relu() * _spread(f, x)),
    "sum": (lambda x, f, s: masked_sum(x, f, s), lambda x, f, s: s + x * _spread(f, x)),
    "sum-relu": (lambda x, f, s: masked_sum(x, f, s, True), lambda x, f, s: (s + x * _spread(f, x)).relu()),
}


@pytest.mark.parametrize("pixels", [(4, 3), (4,), ()], ids=["map", "line", "vector"])
@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("gates", [1, 3, 6])
@pytest.mark.parametrize("name", PLAIN)
def test_a_mask_is_the_plain_product(name: str, gates: int, factors: str, pixels: tuple[int, ...]) -> None:
    torch.manual_seed(gates)
    mask, plain = PLAIN[name]
    factor = FACTORS[factors](gates)
    x, shortcut = torch.randn(2, N, C, *pixels, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, factor, shortcut)]
    weight = torch.randn(N, C, *pixels, dtype=torch.float64)
    results = []
    for function in (mask, plain):
        value = function(*inputs)
        grads = torch.autograd.grad((value * weight).sum(), inputs, allow_unused=True)
        results.append((value.detach(), grads))
    torch.testing.assert_close(*(value for value, _ in results))
    for mine, wanted in zip(*(grads for _, grads in results), strict=True):
        assert (mine is None) == (wanted is None)
        if mine is not None:
            torch.testing.assert_close(mine, wanted)


def test_a_factor_without_gradient_gets_none() -> None:
    x = torch.randn(N, C, 2, 2, requires_grad=True)
    factor = torch.ones(N, 1)
    for value in (mask_layer(x, factor), masked_relu(x.clone(), factor), masked_sum(x, factor, x)):
        value.sum().backward()
    assert factor.grad is None and x.grad is not None


def test_a_sum_of_two_types_is_of_the_wider() -> None:
    x, shortcut = torch.randn(N, C, 2, 2).bfloat16(), torch.randn(N, C, 2, 2)
    assert torch.equal(masked_sum(x, torch.ones(N, 1), shortcut), shortcut + x)
