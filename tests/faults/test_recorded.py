"""Tools that record a network's ops (torch.jit.trace, torch.export) take a gated one, and it computes the same."""

import io
from typing import Any

import pytest
import torch
from torch import nn

import sluicegate as sg
from sluicegate.nets import build_net

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
GATINGS: dict[str, Any] = {
    "channels": sg.ChannelGating(["inp", "mid", "out"], initial_open_rate=0.5),
    "joint": sg.JointGating(initial_open_rate=0.5),
    "exits": [sg.ChannelGating(initial_open_rate=0.5), sg.ExitGating(initial_open_rate=0.5)],
}


def gated_net(gating: Any) -> sg.GatedModel:
    torch.manual_seed(1)
    gated = sg.gate_model(build_net("resnet8"), gating, IMAGES[:1]).eval()
    for layer in gated.get_submodule("network.gates").modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    return gated


def saved_and_loaded(traced: Any) -> Any:
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


@pytest.mark.cases(2)
@pytest.mark.filterwarnings("ignore")  # the tracer warns of every comparison of shapes
@pytest.mark.parametrize("with_gradients", [True, False])
@pytest.mark.parametrize("gating", GATINGS)
def test_traced_saved_and_loaded(gating: str, with_gradients: bool) -> None:
    gated = gated_net(GATINGS[gating])
    with torch.set_grad_enabled(with_gradients):
        loaded = saved_and_loaded(torch.jit.trace(gated, IMAGES, check_trace=False))
    with torch.no_grad():
        torch.testing.assert_close(loaded(IMAGES), gated(IMAGES))
        torch.testing.assert_close(loaded(IMAGES[1:3]), gated(IMAGES[1:3]), msg="another number of images")


@pytest.mark.cases(1)
@pytest.mark.parametrize("gating", GATINGS)
def test_exported_by_torch(gating: str) -> None:
    gated = gated_net(GATINGS[gating])
    exported: nn.Module = torch.export.export(gated, (IMAGES,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(IMAGES), gated(IMAGES))


def test_masks_are_the_same_with_and_without_a_backward() -> None:
    gated = gated_net(GATINGS["joint"])
    with torch.no_grad():
        without = gated(IMAGES)
    assert torch.equal(gated(IMAGES), without)
