from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

import sluicegate as sg
from sluicegate.convert import GatedModel
from sluicegate.data import Normalize, load
from sluicegate.errors import InputError, RunError
from sluicegate.gates import AlwaysOn
from sluicegate.nets import build_net
from sluicegate.train import (
    BudgetRecipe,
    DistillationRecipe,
    FitRecipe,
    MethodRecipe,
    OptimizerRecipe,
    Tuning,
    TuningOptions,
    evaluate,
)
from sluicegate.train.tuning_recipes import TargetKind
from sluicegate_runtime import LatencyTable, load_program, measure_latency

QUICK = TuningOptions(
    optimizer=OptimizerRecipe(lr=0.02, gate_lr_scale=10, schedule="cosine", warm_up=0.1),
    budget=BudgetRecipe(weight=50, tighten=0.3),
    fit=FitRecipe(steps=40, open_rate=0.7),
    recalibration=10,
    average=0.9,
)
EXAMPLE = torch.zeros(1, 1, 32, 32)


@pytest.fixture(scope="module")
def digits():
    train, test = load("digits", "train", limit=512), load("digits", "test", limit=100)
    images = Normalize(train.mean, train.std)(train.images)
    return list(zip(images.split(32), train.labels.split(32), strict=True)), test


@pytest.fixture(scope="module")
def trained(digits):
    """A small network that knows the digits."""
    batches, _ = digits
    torch.manual_seed(0)
    net = build_net("resnet8", width=0.5, in_channels=1)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    for images, labels in batches * 12:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.eval()


def tuned(trained, batches, epochs, options=QUICK):
    torch.manual_seed(1)
    tuning = Tuning(trained, EXAMPLE, target=0.6, steps=epochs * len(batches), options=options)
    tuning.fit(images for _ in range(9) for images, _ in batches)
    for images, labels in batches * epochs:
        tuning.step(images, labels)
    return tuning.finish(images for images, _ in batches)


@pytest.mark.broad
def test_a_loop_of_ones_own_halves_a_network_and_keeps_most_of_it(trained, digits):
    batches, test = digits
    weights = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    gated = tuned(trained, batches, 6)
    assert isinstance(gated, GatedModel) and not gated.training
    before, after = evaluate(trained, test), evaluate(gated, test)
    assert after.macs.mean / after.macs.dense == pytest.approx(0.6, abs=0.06)
    assert before.accuracy > 0.85 and after.accuracy > before.accuracy - 0.15
    assert all(torch.equal(weights[name], tensor) for name, tensor in trained.state_dict().items())


@pytest.mark.broad
@pytest.mark.parametrize(("weight", "listens"), [(0.0, False), (1.0, True)])
def test_the_teacher_has_a_say(weight, listens, trained, digits):
    """Who listens to the teacher alone does not mind other labels."""
    (images, labels), *_ = digits[0]
    options = TuningOptions(distillation=DistillationRecipe(weight))
    tuning = Tuning(trained, EXAMPLE, 0.5, 10, options)
    tuning.net.strategy = AlwaysOn()
    with torch.no_grad():
        right, wrong = (tuning.loss(images, given).item() for given in (labels, labels.flip(0)))
    assert (right == wrong) is listens


def test_progress_moves_rates_and_targets(trained, digits):
    (images, labels), *_ = digits[0]
    tuning = Tuning(trained, EXAMPLE, 0.5, 10, QUICK)
    rates = []
    for _ in range(10):
        rates.append(tuning.optimizer.param_groups[0]["lr"])
        tuning.step(images, labels)
    assert tuning.progress == 1 and rates[0] == pytest.approx(0.02) and rates[-1] < 0.001
    tuning.step(images, labels)
    assert tuning.progress == 1, "a step too many is one at the end"


@pytest.fixture
def table(trained, tmp_path):
    """The latency table of the network that `Tuning` makes."""
    gated = Tuning(trained, EXAMPLE, 0.5, 10, QUICK).net.eval()
    measured = measure_latency(load_program(sg.export(gated, tmp_path / "gated.sluice", EXAMPLE)))
    (tmp_path / "table.json").write_text(measured.to_json())
    return tmp_path / "table.json"


@pytest.mark.parametrize("kind", get_args(TargetKind))
def test_each_kind_of_target_is_a_squared_distance(kind: TargetKind, trained, table):
    """With every gate open. Milliseconds count as a share of the plain network's."""
    measured = LatencyTable.load(table)
    unit = measured.dense if kind == "ms" else 1.0
    options = replace(QUICK, budget=BudgetRecipe(tighten=0))
    tuning = Tuning(trained, EXAMPLE, 0.9 * unit, 10, options, kind=kind, table=table if kind == "ms" else None)
    tuning.net.strategy = AlwaysOn()
    _, gates = tuning.net.eval()(EXAMPLE, return_gates=True)
    flags = {name: record.open.detach().numpy() for name, record in gates.items()}
    macs = tuning.net.macs(gates).item() / tuning.net.macs.dense
    share = {"macs": macs, "rate": 1.0, "ms": measured.milliseconds(flags).item() / measured.dense}[kind]
    assert tuning.target(gates, 1.0).item() == pytest.approx((share - 0.9) ** 2, rel=1e-4)


def test_what_cannot_be_tuned_is_refused(trained, digits):
    with pytest.raises(InputError, match=r"target: 1\.5 is not in \(0, 1\]"):
        Tuning(trained, EXAMPLE, 1.5, 10)
    with pytest.raises(InputError, match=r"target: 1\.5 is not in \(0, 1\], a share of open gates"):
        Tuning(trained, EXAMPLE, 1.5, 10, kind="rate")
    with pytest.raises(InputError, match=r"^target: 0 is not above 0$"):
        Tuning(trained, EXAMPLE, 0, 10, kind="ms", table="table.json")
    with pytest.raises(InputError, match=r"^kind: 'seconds' must be one of macs, rate, ms$"):
        Tuning(trained, EXAMPLE, 0.5, 10, kind="seconds")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^table: None with kind 'ms'; milliseconds need a table"):
        Tuning(trained, EXAMPLE, 0.5, 10, kind="ms")
    with pytest.raises(InputError, match=r"^table: table.json with kind 'macs'; .* the other kinds take none"):
        Tuning(trained, EXAMPLE, 0.5, 10, table="table.json")
    with pytest.raises(InputError, match="steps: 0"):
        Tuning(trained, EXAMPLE, 0.5, 0)
    with pytest.raises(InputError, match="'dense' makes no gates"):
        Tuning(trained, EXAMPLE, 0.5, 10, TuningOptions(method=MethodRecipe("dense")))
    (images, labels), *_ = digits[0]
    with pytest.raises(RunError, match=r"loss: nan at step 1; lower optimizer\.lr"):
        Tuning(trained, EXAMPLE, 0.5, 10, QUICK).step(images * float("nan"), labels)
