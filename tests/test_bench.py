"""What a comparison says of times and MACs; the times themselves are made up."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sluicegate as sg
from sluicegate import bench
from sluicegate.analysis.peers import Peers, torch_eager
from sluicegate.nets import build_net
from sluicegate_runtime import Session

SECONDS = {
    "ours gated": 0.004,
    "ours dense": 0.005,
    "torch eager": 0.02,
    "ONNX Runtime": 0.01,
    "OpenVINO default": 0.001,
}


@pytest.fixture
def images(monkeypatch) -> np.ndarray:
    """Images, and contenders that take as long as they are told."""

    def peers(net, example, threads, calibration):
        return Peers({name: torch_eager(net) for name in SECONDS if not name.startswith("ours")}, {})

    def in_turns(contenders, batches, repeats):
        assert contenders.keys() <= SECONDS.keys()
        return {name: [SECONDS[name], 2 * SECONDS[name], SECONDS[name]] for name in contenders}

    monkeypatch.setattr(bench, "dense_peers", peers)
    monkeypatch.setattr(bench, "benchmark", in_turns)
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)).numpy()


def exported(folder: Path, keep: float | None) -> Path:
    """A network's file; gates open about this share."""
    torch.manual_seed(0)
    net, x = build_net("resnet8"), torch.zeros(1, 3, 32, 32)
    gated = net if keep is None else sg.gate_model(net, sg.ChannelGating(initial_open_rate=keep), x)
    return sg.export(gated.eval(), folder / "net.sluice", x)


def test_ratios_and_realised_saving(images, tmp_path):
    file = exported(tmp_path, 0.5)
    found = {one.name: one for one in bench.compare(file, images, threads=1, batch_size=2).timings}
    assert {name: one.median_ms / 1e3 for name, one in found.items()} == pytest.approx(SECONDS)
    # The fastest float32 peer is ONNX Runtime: OpenVINO's default may be of another precision.
    assert {name: one.over_fastest_peer for name, one in found.items()} == pytest.approx(
        {name: seconds / 0.01 for name, seconds in SECONDS.items()}
    )
    gated, dense = found["ours gated"], found["ours dense"]
    assert dense.macs == sg.MacModel(build_net("resnet8"), torch.zeros(1, 3, 32, 32)).dense
    assert 0.3 < gated.macs / dense.macs < 0.95
    macs = Session(file).run(images).macs.reshape(3, 2).mean(1)  # of each call
    assert gated.macs == pytest.approx(macs.mean())
    assert gated.realised_saving == pytest.approx((1 - 0.004 / 0.005) / (1 - np.median(macs) / dense.macs))
    assert {one.realised_saving for one in found.values() if one is not gated} == {None}
    assert gated.error is None and dense.error is not None and dense.error < 1e-5


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_times_are_held_against_the_macs_of_the_same_calls(calls):
    macs = [90.0, 20.0, 50.0]
    follows = [(macs * 2)[i] / 100 for i in range(calls)]
    assert bench.realised_saving(follows, [1.0] * calls, macs, 100.0) == pytest.approx(1)
    assert bench.realised_saving([1.0] * calls, [1.0] * calls, macs, 100.0) == pytest.approx(0)


def test_the_saving_is_the_median_of_the_calls_that_save():
    macs = [100.0, 60.0, 20.0, 60.0]  # the first saves nothing, whatever its time
    seconds = [0.1, 0.6, 0.6, 0.8]  # of a dense second: savings of 1, 0.5 and 0.5
    assert bench.realised_saving(seconds, [1.0] * 4, macs, 100.0) == pytest.approx(0.5)
    assert bench.realised_saving(seconds[:1], [1.0], macs[:1], 100.0) is None


def test_open_gates_save_nothing(images, tmp_path):
    gated = bench.compare(exported(tmp_path, 0.999), images, threads=1).timings[0]
    assert gated.name == "ours gated" and gated.realised_saving is None


def test_a_network_without_gates_is_dense_alone(images, tmp_path):
    names = [one.name for one in bench.compare(exported(tmp_path, None), images, threads=1).timings]
    assert names == [name for name in SECONDS if name != "ours gated"]
