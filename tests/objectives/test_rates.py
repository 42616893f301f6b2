"""Objectives on rates against the formulas, computed apart in NumPy."""

import numpy as np
import pytest
import torch
from gate_records import random_records
from torch.multiprocessing.spawn import spawn

import sluicegate as sg
from sluicegate.objectives import Objective, SquaredRates, TargetRate, WeightedSum, batch_rate
from sluicegate.schedule import linear


def _rates(gates: sg.GateRecords, *names: str) -> list[np.ndarray]:
    return [gates[name].open.detach().numpy().mean(0) for name in names]


@pytest.mark.parametrize(
    ("kind", "reduction", "formula"),
    [
        ("layer", "sum", lambda a, b: (a**2).sum() + (b**2).sum()),
        ("channel", "sum", lambda a, b: (a**2).sum() + (b**2).sum()),
        ("channel", "site_mean", lambda a, b: (a**2).sum() / 4 + (b**2).sum() / 6),
        ("channel", "mean", lambda a, b: ((a**2).sum() + (b**2).sum()) / 10),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_squared_rates(kind, reduction, formula, dtype: torch.dtype) -> None:
    gates = random_records(dtype)
    names = ("a", "b") if kind == "layer" else ("a.conv", "b.conv")
    value = SquaredRates(kind, reduction)(gates, 0.0)
    np.testing.assert_allclose(value.item(), formula(*_rates(gates, *names)), rtol=1e-6)


def test_gradient_of_squared_rates() -> None:
    gates = random_records()
    (grad,) = torch.autograd.grad(SquaredRates("channel", "sum")(gates, 0.0), gates["a.conv"].open)
    (rate,) = _rates(gates, "a.conv")
    np.testing.assert_allclose(grad.numpy(), np.tile(2 * rate / 8, (8, 1)), rtol=1e-12)


@pytest.mark.parametrize("target", [0.25, {"a": 0.25, "b": 1.0}, {"b": 0.5}])
def test_target_rate(target) -> None:
    gates = random_records()
    a, b = _rates(gates, "a", "b")
    targets = target if isinstance(target, dict) else {"a": target, "b": target}
    expected = sum(((rate - targets[name]) ** 2).sum() for name, rate in (("a", a), ("b", b)) if name in targets)
    np.testing.assert_allclose(TargetRate(target)(gates, 0.0).item(), expected, rtol=1e-12)


def test_weighted_sum_follows_its_schedules() -> None:
    gates = random_records()
    parts: dict[str, tuple[float, Objective]] = {"layer": (2.0, SquaredRates("layer"))}
    both = WeightedSum({**parts, "channel": (linear(1.0, 0.0), SquaredRates("channel"))})
    layer, channel = (SquaredRates(kind)(gates, 0.0).item() for kind in ("layer", "channel"))
    for progress in (0.0, 0.25, 1.0):
        np.testing.assert_allclose(both(gates, progress).item(), 2 * layer + (1 - progress) * channel, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SquaredRates("layer", "max"), "reduction: 'max' must be one of sum, site_mean, mean"),  # type: ignore[arg-type]
        (lambda: TargetRate(1.5), "target: 1.5 must lie between 0 and 1"),
        (
            lambda: TargetRate({"c": 0.5})(random_records(), 0.0),
            "target: 'c' is not a site of the network's layer gates",
        ),
        (lambda: SquaredRates("exit")(random_records(), 0.0), "kind: the network has no 'exit' gates"),
        (lambda: WeightedSum({}), "parts: .* at least one objective"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(sg.InputError, match=message):
        build()


def _global_rate(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    whole = torch.arange(12.0).view(4, 3).requires_grad_()
    rate = batch_rate(whole[rank::2])
    assert torch.equal(rate, whole.mean(0))
    rate.square().sum().backward()
    grad = whole.grad.clone()  # type: ignore[union-attr]
    torch.distributed.all_reduce(grad)
    single = whole.detach().requires_grad_()
    single.mean(0).square().sum().backward()
    torch.testing.assert_close(grad / 2, single.grad)  # DDP averages gradients over the processes
    torch.distributed.destroy_process_group()


@pytest.mark.broad
def test_rate_and_gradient_speak_of_the_global_batch(tmp_path) -> None:
    spawn(_global_rate, (str(tmp_path),), nprocs=2)
