"""Decisions as they are counted, kept open and boosted: soft ones in training, gates that nothing closes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from agreement import close, file_agrees, gated_like, reference_agrees
from torch import Tensor, nn

import sluicegate as sg
from sluicegate_runtime import Session

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
CONV = 64 * 9 * 8 * 8
"""MACs of a 3x3 convolution of 8 to 8 channels on 8x8 pixels."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residual_net() -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Block(), Block(), *head)


def chain() -> nn.Module:
    torch.manual_seed(0)
    layers = (part for c in (3, 8, 8) for part in (nn.Conv2d(c, 8, 3, padding=1), nn.ReLU()))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


SOFT = {"GumbelSoftmax": sg.GumbelSoftmax(hard=False), "ImprovedSemHash": sg.ImprovedSemHash()}


@pytest.mark.parametrize("grad", [True, False], ids=["with gradients", "without"])
@pytest.mark.parametrize("estimator", SOFT.values(), ids=SOFT)
def test_soft_decisions_count_by_their_share(estimator: sg.GumbelSoftmax, grad: bool) -> None:
    torch.manual_seed(2)
    gated = sg.gate_model(residual_net(), sg.LayerGating(estimator, initial_open_rate=0.5), IMAGES).train()
    with torch.set_grad_enabled(grad):
        _, gates = gated(IMAGES.repeat(8, 1, 1, 1), return_gates=True)
        macs = gated.macs(gates).detach().double()
    opens = torch.cat([record.open for record in gates.values()], 1).detach().double()  # [N, 2]
    soft = (opens > 0) & (opens < 1)
    assert soft.any()
    fixed = 64 * 9 * 3 * 8 + 8 * 4
    rest = macs - fixed - opens.sum(1) * 2 * CONV
    assert close(rest, np.full(len(rest), float(rest[0])))  # of the heads: the same for all images
    assert 0 < float(rest[0]) < CONV


def test_soft_channels_count_by_the_product_of_their_shares() -> None:
    gated = sg.gate_model(residual_net(), sg.ChannelGating(["inp", "mid"]), IMAGES).train()
    _, gates = gated(IMAGES, return_gates=True)
    macs = {}
    for share in (0.0, 0.5, 1.0):
        decided = {name: record._replace(open=torch.full_like(record.open, share)) for name, record in gates.items()}
        found = gated.macs.macs_by_module(sg.GateRecords(decided))
        macs[share] = [float(torch.as_tensor(found[name]).reshape(-1)[0]) for name in ("1.body.0", "1.body.2")]
    assert macs[0.0] == [0, 0]
    assert macs[0.5] == [CONV / 4, CONV / 2]
    assert macs[1.0] == [CONV, CONV]


@pytest.mark.parametrize("keep_open", [1, 3])
@pytest.mark.parametrize("boost", [True, False], ids=["boosted", "plain"])
def test_kept_gates_among_the_k_largest(keep_open: int, boost: bool, tmp_path: Path) -> None:
    estimator, head = sg.TopK(0.5, boost=boost), sg.SaliencyHead
    gating = sg.ChannelGating("all", keep_open=keep_open, estimator=estimator, head=head)
    torch.manual_seed(0)
    gated = sg.gate_model(chain(), gating, IMAGES).eval()
    for gate in gated.gates.values():
        nn.init.normal_(gate.head.outputs[0].weight)  # type: ignore[arg-type]
    result = file_agrees(gated, IMAGES, tmp_path)
    reference_agrees(gated, IMAGES)
    for name, flags in result.gates.items():
        assert flags[:, :keep_open].all(), name
        assert (flags.sum(1) == 4).all(), name


def test_a_kept_gate_is_boosted_by_what_its_head_says() -> None:
    estimator = sg.TopK(0.5, boost=True)
    gating = sg.ChannelGating("0", keep_open=2, estimator=estimator, head=sg.SaliencyHead)
    gated = sg.gate_model(chain(), gating, IMAGES).eval()
    (gate,) = gated.gates.values()
    said = torch.rand(6, 8) + 0.5
    ((_, is_open, factor),) = gate(said)
    assert (is_open[:, :2] == 1).all()
    assert torch.equal(factor, is_open * said)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
def test_no_threshold_closes_a_kept_gate_and_one_closes_all_others(
    threshold: float, engine: str, tmp_path: Path
) -> None:
    gated = gated_like(chain(), sg.ChannelGating("all", keep_open=3), IMAGES)
    path = sg.export(gated, tmp_path / "net.sluice")
    result = Session(path, threads=1, engine=engine).run(IMAGES.numpy(), threshold)
    for flags in result.gates.values():
        assert flags[:, :3].all()
        assert flags.all() if threshold == 0 else True
        assert not flags[:, 3:].any() if threshold == 1 else True
    if threshold:
        gated.strategy = sg.Threshold(min(threshold, 1 - 1e-9))
        with torch.no_grad():
            output, gates = gated(IMAGES, return_gates=True)
        assert close(result.output, output)
        assert result.macs.tolist() == gated.macs(gates).tolist()
