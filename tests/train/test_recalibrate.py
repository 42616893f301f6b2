from dataclasses import replace

import pytest
import torch
from torch import nn

from sluicegate.train import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe, load_run, recalibrate, run

RECIPE = Recipe(
    "small",
    DataRecipe("digits", batch_size=8, limit_train=32, limit_test=20),
    NetRecipe("resnet8", {"width": 0.25}),
    MethodRecipe("dlcg"),
    OptimizerRecipe(lr=0.1),
    epochs=2,
    accelerator="cpu",
)


def parts(net):
    """Statistics of batch norms, and everything else."""
    state = net.state_dict()
    statistics = {name for name in state if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    return {n: state[n] for n in statistics}, {n: state[n] for n in state.keys() - statistics}


def test_statistics_are_those_of_steps_at_rate_zero():
    net = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)).eval()
    batches = [torch.randn(16, 2, 4, 4) + shift for shift in range(3)]
    weights = [p.clone() for p in net.parameters()]
    recalibrate(net, batches)
    mean, variance = torch.zeros(2), torch.ones(2)
    for batch in batches:  # momentum 0.1, unbiased variance
        mean = 0.9 * mean + 0.1 * batch.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * batch.var((0, 2, 3))
    norm = net[0]
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert not net.training


@pytest.mark.broad
def test_a_run_recalibrates_what_it_measures_and_saves(tmp_path):
    """Nine batches of an epoch of four; the weights are those of the run without."""
    run(RECIPE, tmp_path / "plain", progress=False)
    result = run(replace(RECIPE, recalibration=9), tmp_path / "renewed", progress=False)
    (plain, weights), (renewed, same) = (parts(load_run(tmp_path / name)[1]) for name in ("plain", "renewed"))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert {int(renewed[n] - plain[n]) for n in plain if n.endswith("num_batches_tracked")} == {9}
    assert any(not torch.equal(plain[n], renewed[n]) for n in plain if n.endswith("running_mean"))
    last = (tmp_path / "renewed" / "metrics.csv").read_text().splitlines()[-1]
    assert f",{result.accuracy}," in last, "the last epoch was measured before"
