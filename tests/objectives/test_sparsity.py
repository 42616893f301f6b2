"""GateL0 and L1 against their formulas in NumPy."""

import numpy as np
import pytest
import torch
from gate_records import random_records
from scipy.special import expit

import sluicegate as sg

RTOL = {torch.float32: 1e-6, torch.float64: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@DTYPES
@pytest.mark.parametrize("reduction", ["sum", "site_mean", "mean"])
def test_l0_is_the_probability_of_open_gates(reduction, dtype: torch.dtype) -> None:
    gates = random_records(dtype)
    logits = [gates[name].logits for name in ("a.conv", "b.conv")]
    a, b = (expit(x.detach().double().numpy()).mean(0) for x in logits)
    expected = {"sum": a.sum() + b.sum(), "site_mean": a.mean() + b.mean(), "mean": (a.sum() + b.sum()) / 10}
    value = sg.GateL0(reduction=reduction)(gates, 0.0)
    np.testing.assert_allclose(value.item(), expected[reduction], rtol=RTOL[dtype])
    (gradient, _) = torch.autograd.grad(value, logits)
    p = expit(logits[0].detach().double().numpy())
    share = {"sum": 1, "site_mean": 4, "mean": 10}[reduction]
    np.testing.assert_allclose(gradient.double().numpy(), p * (1 - p) / (8 * share), rtol=RTOL[dtype])


@DTYPES
def test_l1_is_the_share_of_open_gates_of_all_sites(dtype: torch.dtype) -> None:
    gates = random_records(dtype)
    opens = np.concatenate([record.open.detach().double().numpy() for record in gates.values()], axis=1)  # [N, K]
    value = sg.GateL1()(gates, 0.0)
    norms = np.linalg.norm(opens, ord=1, axis=1)
    np.testing.assert_allclose(value.item(), norms.mean() / opens.shape[1], rtol=RTOL[dtype])
    (gradient,) = torch.autograd.grad(value, gates["b.conv"].open)
    np.testing.assert_allclose(gradient.double().numpy(), np.full((8, 6), 1 / opens.size), rtol=RTOL[dtype])
