"""SkipNet's recipe on digits: both phases of its training, and the exported network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sluicegate.convert import GatedModel
from sluicegate.data import Normalize
from sluicegate.gates import StraightThroughPolicy
from sluicegate.lowering import export
from sluicegate.recipes import recipe
from sluicegate.train import load_run, load_split, run
from sluicegate_runtime import Session, load_program, run_reference


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder and the result."""
    folder = tmp_path_factory.mktemp("skipnet") / "run"
    return folder, run(replace(recipe("skipnet-resnet14-digits"), accelerator="cpu"), folder, progress=False)


def probability(net, images):
    """With which gates are open, mean over gates and images."""
    with torch.no_grad():
        _, gates = net(images, return_gates=True)
    return torch.cat([record.logits.sigmoid() for record in gates.values()]).mean().item()


@pytest.fixture(scope="module")
def tested(trained):
    """The network and its test images, prepared."""
    made, net = load_run(trained[0])
    found = load_split(made.data, "test", None)
    images, _ = next(iter(found.batches(len(found))))
    return net, Normalize(found.mean, found.std)(images)


@pytest.mark.broad
def test_it_learns_digits_and_rewards_close_gates(trained, tested, tmp_path):
    _, result = trained
    net, images = tested
    assert result.accuracy > 0.8
    made = recipe("skipnet-resnet14-digits")
    options = made.method.options | {"reward_weight": 0.0}
    unrewarded = replace(made, method=replace(made.method, options=options), accelerator="cpu")
    run(unrewarded, tmp_path / "run", progress=False)
    _, other = load_run(tmp_path / "run")
    assert probability(net, images) < probability(other, images)


@pytest.mark.broad
def test_the_exported_network_decides_and_costs_the_same(tested, tmp_path):
    net, images = tested
    images = images[:16]
    assert isinstance(net, GatedModel)
    with torch.no_grad():
        net.network.get_parameter("gates.logit.bias").sub_(
            net(images, return_gates=True).gates["layer2.1"].logits.mean()
        )
        output, gates = net(images, return_gates=True)
    assert 0 < torch.cat([record.open for record in gates.values()]).mean() < 1
    path = export(net, tmp_path / "net.sluice")
    artifact = load_program(path)
    for result in (
        run_reference(artifact.program, artifact.tensors, images.numpy()),
        Session(path).run(images.numpy()),
    ):
        np.testing.assert_allclose(result.output, output.numpy(), rtol=0, atol=1e-4 * float(output.abs().max()))
        assert result.macs.tolist() == net.macs(gates).tolist()
        assert all(np.array_equal(result.gates[name], record.open.bool().numpy()) for name, record in gates.items())


def test_gates_carry_gradients_before_and_none_after():
    logits = torch.full((1000, 1), 0.5, requires_grad=True)
    estimator = StraightThroughPolicy(begin=0.5)
    estimator.set_progress(0.49)
    warm = estimator(logits)
    assert warm.requires_grad and warm.unique().tolist() == [1.0]
    estimator.set_progress(0.5)
    drawn = estimator(logits)
    assert not drawn.requires_grad
    assert drawn.mean().item() == pytest.approx(torch.sigmoid(torch.tensor(0.5)).item(), abs=0.06)
    assert sorted(drawn.unique().tolist()) == [0.0, 1.0]


def test_cifar_is_trained_by_the_published_schedule():
    made = recipe("skipnet-resnet38-cifar10")
    optimizer, steps = made.optimizer, made.epochs * (50_000 // made.data.batch_size)
    assert steps == pytest.approx(74_000, rel=2e-3)
    assert [round(at * 74) for at in optimizer.milestones] == [32, 48, 64]
    assert made.method.options["begin"] == optimizer.milestones[-1]
    assert (optimizer.lr, optimizer.gamma, optimizer.weight_decay, optimizer.nesterov) == (0.1, 0.1, 1e-4, False)
