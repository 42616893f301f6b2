"""The fused run of a gated graph against the graph itself."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.convert import fused
from sluicegate.gates.mask import mask_channels, mask_layer, masked_relu, masked_sum
from sluicegate.nets import build_net

GATINGS = {
    "joint": sg.JointGating(initial_open_rate=0.6),
    "all places": sg.ChannelGating(at=["inp", "mid", "out"], granularity=2, initial_open_rate=0.6),
    "soft": sg.LayerGating(estimator=sg.GumbelSoftmax(hard=False), initial_open_rate=0.6),
}
NETS = ("resnet8", "preact_resnet11", "torchvision:resnet18", "timm:resnet18", "torchvision:mobilenet_v2")


def _gated(net: str = "resnet8", gating: str = "joint") -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net(net), GATINGS[gating], torch.zeros(1, 3, 32, 32))


def _step(gated: sg.GatedModel, run: nn.Module | fused.FusedForward, images: Tensor) -> list[Tensor]:
    gated.zero_grad()
    torch.manual_seed(1)
    output, decisions = run(images)
    (output.square().mean() + sum(is_open.mean() for _, is_open in decisions.values())).backward()
    return [output.detach(), *(p.grad.clone() for p in gated.parameters() if p.grad is not None)]


@pytest.mark.cases(5)
@pytest.mark.parametrize("gating", GATINGS)
@pytest.mark.parametrize("net", NETS)
def test_training_is_that_of_the_graph(net: str, gating: str) -> None:
    gated = _gated(net, gating).double()
    images = torch.randn(4, 3, 32, 32).double()
    for mine, wanted in zip(_step(gated, gated._run, images), _step(gated, gated.network, images), strict=True):
        torch.testing.assert_close(mine, wanted)


def _masks(monkeypatch: pytest.MonkeyPatch, gated: sg.GatedModel) -> set[str]:
    """Which kinds of mask one run of the model calls."""
    called: set[str] = set()
    code = type(gated.network).forward.__globals__, gated._run._forward.__globals__
    for mask in (mask_channels, mask_layer, masked_relu, masked_sum):
        for names in code:
            for name in [name for name, value in names.items() if value is mask]:
                monkeypatch.setitem(names, name, lambda *x, mask=mask: called.add(mask.__name__) or mask(*x))
    gated(torch.zeros(2, 3, 32, 32))
    monkeypatch.undo()
    return called


def test_masks_are_fused_until_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    gated = _gated()
    gated(torch.zeros(2, 3, 32, 32))
    assert _masks(monkeypatch, gated) == {"masked_relu", "masked_sum"}
    seen: list[object] = []
    relu = gated.network.get_submodule("layer1.0.relu1")
    hook = relu.register_forward_hook(lambda *call: seen.append(call))
    assert _masks(monkeypatch, gated) == {"mask_channels", "mask_layer"}
    assert len(seen) == 1
    hook.remove()
    assert _masks(monkeypatch, gated) == {"masked_relu", "masked_sum"}


def test_another_activation_in_the_place_of_a_relu_is_heeded() -> None:
    gated = _gated().eval()
    images = torch.randn(2, 3, 32, 32)
    before = gated(images)
    gated.network.get_submodule("layer1.0").relu1 = nn.SiLU()
    assert not torch.equal(gated(images), before)
    assert torch.equal(gated(images), gated.network(images)[0])


def test_a_changed_graph_is_followed() -> None:
    gated = _gated().eval()
    images = torch.randn(2, 3, 32, 32)
    before = gated(images)
    network = gated.network
    relu = next(node for node in network.graph.nodes if node.target == "layer1.0.relu1")
    relu.replace_all_uses_with(relu.all_input_nodes[0])
    network.graph.erase_node(relu)
    network.recompile()
    assert not torch.equal(gated(images), before)
    assert torch.equal(gated(images), network(images)[0])


def test_copies_and_pickles_run_their_own_network() -> None:
    gated = _gated().eval()
    images = torch.randn(2, 3, 32, 32)
    expected = gated(images)
    file = io.BytesIO()
    torch.save(gated, file)
    file.seek(0)
    for other in (copy.deepcopy(gated), torch.load(file, weights_only=False)):
        assert torch.equal(other(images), expected)
        nn.init.zeros_(other.network.get_parameter("conv1.weight"))
        assert not torch.equal(other(images), expected)
    assert torch.equal(gated(images), expected)
