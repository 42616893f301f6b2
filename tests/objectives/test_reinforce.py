import numpy as np
import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords, GateSite
from sluicegate.objectives import Reinforce, reinforce


def records(logits, opens):
    return GateRecords(
        {
            str(i): GateRecord(GateSite(str(i), "layer", 1, 1, "", ""), logits[:, i : i + 1], opens[:, i : i + 1])
            for i in range(logits.shape[1])
        }
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_those_of_the_formula(dtype):
    rng = np.random.default_rng(0)
    raw, o, loss = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)), rng.random(5)
    logits = torch.tensor(raw, dtype=dtype, requires_grad=True)
    task = torch.tensor(loss, dtype=dtype, requires_grad=True)
    value = reinforce(task, records(logits, torch.tensor(o, dtype=dtype)), alpha=0.3, weight=0.02)
    value.backward()
    p = 1 / (1 + np.exp(-raw))
    reward = np.array([[-loss[n] + 0.3 / 3 * (1 - o[n, i:]).sum() for i in range(3)] for n in range(5)])
    expected = -0.02 * (reward * np.log(np.where(o, p, 1 - p))).sum(1).mean()
    np.testing.assert_allclose(value.item(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12)
    gradient = -0.02 / 5 * reward * (o - p)  # d log p(open) / d logit = open - p
    assert logits.grad is not None and task.grad is None
    np.testing.assert_allclose(logits.grad, gradient, rtol=1e-4 if dtype == torch.float32 else 1e-10)


def test_a_loss_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"task_loss: shape \(2,\) must be \(5,\)"):
        reinforce(torch.zeros(2), records(torch.zeros(5, 1), torch.ones(5, 1)))
    with pytest.raises(InputError, match="gates: no records"):
        reinforce(torch.zeros(2), GateRecords())


def test_rewards_begin_at_their_time():
    loss, gates = torch.ones(5), records(torch.zeros(5, 2), torch.ones(5, 2))
    reward = Reinforce(begin=0.5, alpha=0.3, weight=0.02)
    assert reward(loss, gates, 0.49).item() == 0
    assert reward(loss, gates, 0.5).item() == reinforce(loss, gates, 0.3, 0.02).item() != 0
    with pytest.raises(InputError, match=r"begin: 1.5 must lie in \[0, 1\]"):
        Reinforce(begin=1.5)
