"""Targets against the formulas in NumPy; what a variable target remembers; the variance identity of section 3.1."""

import copy
import math

import numpy as np
import pytest
import torch
from gate_records import exit_records, random_records
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.multiprocessing.spawn import spawn

import sluicegate as sg
from sluicegate.nets import build_net
from sluicegate.objectives import BatchActivation, ExitTarget, LatencyTarget, MacTarget, VariableTarget
from sluicegate.objectives.targets import Distance, Side
from sluicegate.schedule import linear, staircase

RTOL = {torch.float32: 1e-5, torch.float64: 1e-11}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@DTYPES
@pytest.mark.parametrize("kind", ["channel", "layer", None])
def test_batch_activation_is_equation_1(kind, dtype: torch.dtype) -> None:
    gates = random_records(dtype)
    records = [record for record in gates.values() if kind in (None, record.site.kind)]
    z = np.concatenate([record.open.detach().double().numpy() for record in records], axis=1)
    value = BatchActivation(0.9, kind)(gates, 0.0)
    np.testing.assert_allclose(value.item(), (0.9 - z.mean()) ** 2, rtol=RTOL[dtype])
    (gradient,) = torch.autograd.grad(value, records[0].open)
    np.testing.assert_allclose(gradient.double().numpy(), 2 * (z.mean() - 0.9) / z.size, rtol=RTOL[dtype])


def test_const_quad_pays_above_the_target_only() -> None:
    gates = random_records()
    rate = torch.cat([gates[name].open for name in ("a.conv", "b.conv")], 1).mean().item()
    above, below = rate - 0.1, rate + 0.1
    assert BatchActivation(below, free="below")(gates, 0.0).item() == 0
    assert BatchActivation(above, free="below")(gates, 0.0).item() == pytest.approx(0.01)
    assert BatchActivation(above, free="above")(gates, 0.0).item() == 0
    assert BatchActivation(below, free="above")(gates, 0.0).item() == pytest.approx(0.01)


def _held(multiplier_rate: float, free: Side | None = None, pull: float = 0.2) -> tuple[float, Distance]:
    """The rate at which a task that pulls it up, or down, and a target of 0.5 come to rest; the target's distance."""
    rate, distance = torch.tensor(0.7, requires_grad=True), Distance(0.5, free, multiplier_rate)
    for step in range(400):
        (gradient,) = torch.autograd.grad(distance(rate, step / 400) - pull * rate, rate)
        rate = (rate - 0.1 * gradient).detach().requires_grad_()
    return rate.item(), distance


def test_a_multiplier_takes_out_what_a_squared_distance_leaves() -> None:
    assert _held(0.0)[0] == pytest.approx(0.6, abs=1e-3)  # where 2 (x - t) is the task's 0.2
    rate, distance = _held(20.0)
    assert rate == pytest.approx(0.5, abs=1e-3)
    assert distance.multiplier.item() == pytest.approx(0.2, abs=1e-2), "it pulls as the task does"


def test_a_multiplier_waits_for_a_target_that_moves() -> None:
    distance = Distance(linear(1.0, 0.5, finish=0.4), multiplier_rate=10.0)
    for progress, held in ((0.1, 0.0), (0.3, 0.0), (0.5, 10 * 0.3 * 0.2), (0.6, 10 * 0.3 * 0.3)):
        distance(torch.tensor(0.8), progress)
        assert distance.multiplier.item() == pytest.approx(held)


def test_a_multiplier_has_no_pull_on_the_free_side() -> None:
    rate, distance = _held(20.0, "below", pull=-0.2)
    assert rate < 0.4 and distance.multiplier.item() == 0
    assert _held(20.0, "below")[0] == pytest.approx(0.5, abs=1e-3)


def test_a_multiplier_stands_still_in_evaluation_and_is_in_checkpoints() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.ChannelGating(), torch.zeros(1, 3, 32, 32))
    target = MacTarget(gated.macs, 0.5, multiplier_rate=10.0)
    gates = gated(torch.zeros(2, 3, 32, 32), return_gates=True).gates
    first = target.eval()(gates, 0.5)
    assert target.distance.multiplier.item() == 0 and target(gates, 0.6) == first
    target.train()(gates, 0.5)
    again = MacTarget(gated.macs, 0.5, multiplier_rate=10.0)
    again.load_state_dict(target.state_dict())
    assert again.distance.multiplier.item() == target.distance.multiplier.item() > 0
    assert again(gates, 0.6) == target(gates, 0.6) > first
    with pytest.raises(sg.InputError, match="multiplier_rate: -1 must be at least 0"):
        MacTarget(gated.macs, 0.5, multiplier_rate=-1)


def test_targets_follow_their_schedule() -> None:
    gates = random_records()
    annealed = BatchActivation(staircase(1.0, 0.4, by=0.2, every=0.1))
    for progress, target in ((0.0, 1.0), (0.1, 0.8), (0.25, 0.6), (1.0, 0.4)):
        assert annealed(gates, progress).item() == pytest.approx(BatchActivation(target)(gates, 0.0).item())
    assert sg.TargetRate(linear(1, 0))(gates, 0.3).item() == pytest.approx(sg.TargetRate(0.7)(gates, 0.0).item())


def test_expected_loss_is_squared_bias_plus_variance() -> None:
    """Stochastic gates 3.1: E[L_B] = (t - E Q)^2 + Var Q, here with its sampling error at five sigma (6e-7)."""
    torch.manual_seed(0)
    target, draws = 0.4, 40_000
    p = torch.rand(6, 5, dtype=torch.float64)
    z = torch.bernoulli(p.expand(draws, 6, 5))
    record = random_records()["a.conv"]
    losses = [BatchActivation(target)(sg.GateRecords(a=record._replace(open=draw)), 0.0) for draw in z[:2000]]
    torch.testing.assert_close(torch.stack(losses), (target - z[:2000].mean((1, 2))).square())
    all_losses = (target - z.mean((1, 2))).square()
    expected = (target - p.mean()) ** 2 + (p * (1 - p)).sum() / p.numel() ** 2
    error = abs(all_losses.mean() - expected).item()
    assert error < 5 * all_losses.std().item() / math.sqrt(draws)


def test_polarised_gates_alone_have_no_variance() -> None:
    """Property 3.1, exactly: rates at the target with every gate at 0 or 1, and with every gate at one half."""
    torch.manual_seed(0)
    record = random_records()["a.conv"]

    def mean_loss(p: torch.Tensor) -> float:
        draws = [record._replace(open=torch.bernoulli(p)) for _ in range(200)]
        return float(np.mean([BatchActivation(0.5)(sg.GateRecords(a=draw), 0.0).item() for draw in draws]))

    assert mean_loss(torch.tensor([[0.0, 1, 0, 1]] * 8)) == 0
    assert mean_loss(torch.full((8, 4), 0.5)) > 0


def _gated() -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net("resnet8"), sg.ChannelGating(initial_open_rate=0.6), torch.zeros(1, 3, 32, 32))


def test_mac_target_is_the_share_of_multiply_adds() -> None:
    gated = _gated()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    counted = sg.GateRecords({name: r._replace(open=r.open.detach()) for name, r in gates.items()})
    macs = gated.macs(counted).double().numpy()  # [N], whole numbers
    value = MacTarget(gated.macs, 0.45)(gates, 0.0)
    np.testing.assert_allclose(value.item(), (0.45 - macs.mean() / gated.macs.dense) ** 2, rtol=1e-5)
    value.backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for gate in gated.gates.values() for p in gate.parameters()
    )


@pytest.mark.broad
def test_mac_target_alone_leads_to_its_target() -> None:
    gated, x = _gated(), torch.randn(16, 3, 32, 32)
    target = MacTarget(gated.macs, 0.45)
    optimizer = torch.optim.Adam(gated.gate_parameters(), lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        loss = target(gated(x, return_gates=True).gates, 0.0)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05**2


class Slow(torch.nn.Module):
    """Stands in for a latency model: 2 ms, and 1 ms for each open channel gate of the first site."""

    dense, closed = 20.0, 2.0

    def milliseconds(self, gates: sg.GateRecords) -> torch.Tensor:
        return 2 + next(iter(gates.values())).open.sum(1)


@DTYPES
def test_latency_target_is_a_share_of_the_plain_networks_time(dtype: torch.dtype) -> None:
    gates = random_records(dtype)
    opens = next(iter(gates.values())).open
    ms = 2 + opens.detach().double().sum(1).mean().item()
    value = LatencyTarget(Slow(), 5.0)(gates, 0.0)  # type: ignore[arg-type]
    np.testing.assert_allclose(value.item(), ((5 - ms) / 20) ** 2, rtol=RTOL[dtype])
    (gradient,) = torch.autograd.grad(value, opens)
    np.testing.assert_allclose(gradient.double().numpy(), 2 * (ms - 5) / 20**2 / len(opens), rtol=RTOL[dtype])
    free = LatencyTarget(Slow(), linear(10, ms + 1), free="below")  # type: ignore[arg-type]
    assert free(gates, 1.0).item() == 0


def test_milliseconds_that_no_gates_reach_are_refused() -> None:
    reach = r"from 2 \(the least with gates\) to 20 \(the plain network\)"
    for wrong, named in ((1.9, "1.9"), (20.1, "20.1"), (linear(10, 1), "1")):
        with pytest.raises(sg.InputError, match=f"ms: {named} is not {reach}"):
            LatencyTarget(Slow(), wrong)  # type: ignore[arg-type]


def test_a_moving_target_is_the_mean_of_start_and_rates() -> None:
    target, rates = VariableTarget(0.8), [0.5, 0.7, 0.1]
    seen = [target(torch.tensor(rate), 0.0).item() for rate in rates]
    np.testing.assert_allclose(seen, [np.mean([0.8, *rates[:n]]) for n in range(3)], rtol=1e-6)


def test_an_exponential_target_forgets() -> None:
    target, expected = VariableTarget(0.8, decay=0.9), 0.8
    for rate in (0.5, 0.7, 0.1):
        assert target(torch.tensor(rate), 0.0).item() == pytest.approx(expected, rel=1e-6)
        expected = 0.9 * expected + 0.1 * rate


def test_a_variable_target_starts_anew_with_every_epoch() -> None:
    target = VariableTarget(0.8, restart=0.1)
    for progress in (0.0, 0.05):
        target(torch.tensor(0.2), progress)
    assert target(torch.tensor(0.2), 0.3 - 1e-12).item() == pytest.approx(0.8)
    assert target(torch.tensor(0.2), 0.35).item() == pytest.approx(0.5)


def test_evaluation_leaves_a_variable_target_alone() -> None:
    target = VariableTarget(0.8).eval()
    for _ in range(2):
        assert target(torch.tensor(0.2), 0.0).item() == pytest.approx(0.8)


def test_a_checkpoint_holds_a_variable_target() -> None:
    gates = random_records()
    first = BatchActivation(VariableTarget(0.8, decay=0.5))
    first(gates, 0.0)
    second = BatchActivation(VariableTarget(0.8, decay=0.5))
    assert not torch.equal(second(gates, 0.0), copy.deepcopy(first)(gates, 0.0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(gates, 0.0), first(gates, 0.0))


def test_a_variable_target_carries_no_gradient() -> None:
    rate = torch.tensor(0.5, requires_grad=True)
    assert not VariableTarget(0.8)(rate, 0.0).requires_grad


def test_exits_are_taken_once() -> None:
    """Of four images one leaves at the first exit and one at the second, whose gate is closed for the first too."""
    gates = exit_records([0, 1, 1, 1], [0, 0, 1, 1])
    value = ExitTarget({"exit0": 0.5, "exit1": 0.75}, free=None)(gates, 0.0)
    assert value.item() == pytest.approx((0.5 - 0.25) ** 2 + (0.75 - 0.25) ** 2)
    first, second = torch.autograd.grad(value, [record.open for record in gates.values()])
    assert first[:, 0].tolist() == pytest.approx([0.5 / 4 - 1 / 4, 0.5 / 4 - 1 / 4, 0.5 / 4, 0.5 / 4])
    assert second[:, 0].tolist() == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4])


def test_more_early_exits_than_asked_for_are_free() -> None:
    gates = exit_records([0, 0, 1, 1])
    assert ExitTarget(0.25)(gates, 0.0).item() == 0
    assert ExitTarget(0.75)(gates, 0.0).item() == pytest.approx(0.0625)


@pytest.mark.parametrize(
    "build",
    [
        lambda: BatchActivation(0.5, None, free="below"),
        lambda: BatchActivation(VariableTarget(0.5, restart=0.1)),
        lambda: sg.BatchShaping(),
        lambda: sg.BatchShaping(shaped="sample"),
        lambda: sg.GateL0(),
        lambda: sg.GateL1(),
    ],
)
def test_never_looks_at_a_value(build) -> None:
    with FakeTensorMode():  # there is nothing to look at: .item() and bool() raise
        build()(random_records(), 0.5).backward()


def test_looking_at_a_value_would_be_noticed() -> None:
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.rand(1).item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(
    "objective",
    [
        sg.BatchShaping(),
        sg.BatchShaping(shaped="sample"),
        sg.GateL0(),
        sg.GateL1(),
        BatchActivation(VariableTarget(0.5)),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_never_waits_for_a_device(objective: nn.Module) -> None:
    gates = random_records()
    on_device = {
        name: r._replace(logits=r.logits.detach().cuda().requires_grad_(), open=r.open.detach().cuda().requires_grad_())
        for name, r in gates.items()
    }
    objective.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        objective(sg.GateRecords(on_device), 0.5).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BatchActivation(1.5), "target: 1.5 must lie between 0 and 1"),
        (lambda: BatchActivation(linear(1, -0.5)), "target: -0.5 must lie between 0 and 1"),
        (lambda: BatchActivation(0.5, free="left"), "free: 'left' must be one of below, above, or None"),  # type: ignore[arg-type]
        (lambda: BatchActivation(0.5, "exit")(random_records(), 0.0), "kind: the network has no 'exit' gates"),
        (
            lambda: ExitTarget({"c": 0.5})(exit_records([1]), 0.0),
            "target: 'c' is not a site of the network's exit gates",
        ),
        (lambda: VariableTarget(1.5), "start: 1.5 must lie between 0 and 1"),
        (lambda: VariableTarget(0.5, decay=1), "decay: 1 must lie between 0 and 1"),
        (lambda: VariableTarget(0.5, restart=0), "restart: 0 must lie between 0 and 1"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(sg.InputError, match=message):
        build()


def _follow(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    gates = random_records()
    mine = sg.GateRecords({name: r._replace(open=r.open[rank::2]) for name, r in gates.items()})
    objective = BatchActivation(VariableTarget(0.9, decay=0.5))
    values = [objective(mine, 0.0) for _ in range(3)]
    torch.distributed.destroy_process_group()
    single = BatchActivation(VariableTarget(0.9, decay=0.5))
    torch.testing.assert_close(torch.stack(values), torch.stack([single(gates, 0.0) for _ in range(3)]))
    torch.testing.assert_close(objective.state_dict(), single.state_dict())


@pytest.mark.broad
def test_processes_share_a_variable_target(tmp_path) -> None:
    spawn(_follow, (str(tmp_path),), nprocs=2)
