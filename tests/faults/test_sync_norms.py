"""Norms that processes share (`convert_sync_batchnorm`) are norms: in the network and in heads, gated or not yet."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from agreement import file_agrees
from random_nets import random_residual_net
from torch import nn

import sluicegate as sg
from sluicegate.nets import build_net

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
WITH_NORMS = partial(sg.PooledHead, batch_norm=True)
GATINGS: dict[str, Any] = {
    "channels": sg.ChannelGating(head=WITH_NORMS, initial_open_rate=0.5),
    "joint": sg.JointGating(head=WITH_NORMS, initial_open_rate=0.5),
}


def settled(net: nn.Module) -> nn.Module:
    """Every norm is far from doing nothing."""
    for norm in net.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(norm.weight, 0, 2)
            nn.init.normal_(norm.bias)
    with torch.no_grad():
        for _ in range(20):
            net.train()(IMAGES)
    return net.eval()


@pytest.mark.parametrize("gating", GATINGS)
@pytest.mark.parametrize("make", [lambda: build_net("resnet8", width=0.5), lambda: random_residual_net(3)])
def test_converted_after_gating(make: Any, gating: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    gated = settled(sg.gate_model(make(), GATINGS[gating], IMAGES[:1]))
    assert isinstance(gated, sg.GatedModel)
    with torch.no_grad():
        before = gated(IMAGES)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(gated).eval()
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.get_submodule("network.gates").modules())
    with torch.no_grad():
        torch.testing.assert_close(converted(IMAGES), before)
    file_agrees(converted, IMAGES, tmp_path)


@pytest.mark.parametrize("make", [lambda: build_net("resnet8", width=0.5), lambda: random_residual_net(3)])
def test_converted_before_gating(make: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(make())
    gated = sg.gate_model(net, GATINGS["channels"], IMAGES[:1]).eval()  # on a CPU they are not trained
    file_agrees(gated, IMAGES, tmp_path)
