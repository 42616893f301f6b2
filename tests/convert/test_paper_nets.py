"""The papers' networks under GaterNet, with gates where the paper puts them: filters, parameters, a training step, the
file, and the network with its closed parts cut out."""

import copy
from pathlib import Path

import pytest
import torch
from agreement import close, file_agrees, reference_agrees
from slicing import SlicedRun
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.convert import Gating
from sluicegate.methods import gaternet
from sluicegate.nets import build_net
from sluicegate.ops import read_network

SMALL = {
    "densenet_bc16_k4": ("growth", {}),
    "shake_shake8_2x8d": ("out", {}),
    "se_resnet8": ("out", {"shortcut": "B"}),
    "se_preact_resnet11": ("out", {"width": 0.25}),
    "resnet8_x1.25": ("out", {"shortcut": "B"}),
}
"""A small member of each family -> where its gates are, and its options."""

TABLE_2 = {
    "densenet_bc100_k12": ("growth", {}, 540, 1.05),
    "densenet_bc250_k24": ("growth", {}, 2880, 15.62),
    "densenet_bc190_k40": ("growth", {}, 3600, 25.93),
    "shake_shake26_2x64d": ("out", {"stem": 64}, 3584, 12.01),
    "shake_shake26_2x96d": ("out", {"stem": 96}, 5376, 26.65),
}
"""Network -> where, its options, gated filters, millions of parameters with the gater (GaterNet, Table 2)."""

TABLE_3 = {
    "torchvision:resnet34": ("out", 256, 3776, 34.08),
    "torchvision:resnet101": ("out", 256, 32512, 64.21),
    "torchvision:resnet152": ("out", 256, 47872, 83.80),  # the text says 1024; docs/ambiguities.md
    "timm:inception_v4": ("concat", 256, 16608, 58.26),  # the paper: 61.67; docs/ambiguities.md
}
"""Network -> where, neurons of the bottleneck, gated filters, millions of parameters with the gater (Table 3)."""


def _settled(net: nn.Module) -> nn.Module:
    """With norms that shift every channel above zero, so that none is zero but by a gate."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, 0.5, 1.0)
    return net


def _images(count: int = 3, side: int = 32) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def _gating(at: str, gater: str = "resnet8") -> sg.GaterGating:
    gating = gaternet(gater=gater, at=at, initial_open_rate=0.5).gating
    assert isinstance(gating, sg.GaterGating)
    return gating


@pytest.fixture(params=SMALL)
def small(request: pytest.FixtureRequest) -> tuple[nn.Module, sg.GaterGating]:
    at, options = SMALL[request.param]
    torch.manual_seed(0)
    return _settled(build_net(request.param, **options)), _gating(at)


@pytest.mark.cases(2)
def test_the_engine_and_numpy_decide_and_count_as_torch(small, tmp_path: Path) -> None:
    net, gating = small
    gated = _divided(net, gating)
    result = file_agrees(gated, _images(), tmp_path)
    assert any(0 < is_open.mean() < 1 for is_open in result.gates.values())
    reference_agrees(gated, _images())
    file_agrees(copy.deepcopy(net).eval(), _images(), tmp_path)


@pytest.mark.cases(2)
def test_all_open_is_the_plain_network(small) -> None:
    net, gating = small
    gated = sg.gate_model(net, gating, _images(1))
    gated.strategy = sg.AlwaysOn()
    for training in (False, True):
        made = []
        for model in (gated, copy.deepcopy(net)):
            torch.manual_seed(1)  # of what a network draws in training
            made.append(model.train(training)(_images()))
        assert torch.equal(*made)


@pytest.mark.broad
def test_masked_is_sliced(small) -> None:
    net, gating = small
    gated, images = _divided(net, gating), _images()
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
    sliced = SlicedRun(gated)
    for i, macs in enumerate(gated.macs(gates).tolist()):
        assert close(sliced.run(images[i : i + 1], gates, i), output[i : i + 1])
        assert sliced.macs == macs and not sliced.in_doubt


@pytest.mark.cases(2)
def test_a_step_of_training_reaches_every_parameter(small) -> None:
    net, gating = small
    gated = sg.gate_model(net, gating, _images(1)).train()
    torch.manual_seed(0)
    gated(_images(16)).square().sum().backward()
    untouched = [name for name, p in gated.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", ["mid", "all"])
@pytest.mark.parametrize("name", SMALL)
def test_gates_between_layers_too(name: str, at: str, tmp_path: Path) -> None:
    """The other methods' places; a dense layer is no branch, so `mid` has none in DenseNet."""
    net, images = _settled(build_net(name, **SMALL[name][1])), _images()
    gating = sg.ChannelGating(at)
    if name.startswith("densenet") and at == "mid":
        with pytest.raises(sg.InputError, match="'mid' finds no place"):
            sg.gate_model(net, gating, images[:1])
        return
    gated = _divided(net, gating)
    file_agrees(gated, images, tmp_path)


def _divided(net: nn.Module, gating: Gating) -> sg.GatedModel:
    torch.manual_seed(0)
    gated = sg.gate_model(net, gating, _images(1)).eval()
    for gate in gated.gates.values():
        for layer in gate.head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=3 / layer.in_features**0.5)
    return gated


def test_branches_of_shake_shake_are_gated_as_layers(tmp_path: Path) -> None:
    gated = _divided(build_net("shake_shake8_2x8d"), sg.LayerGating(initial_open_rate=0.5))
    assert len(gated.sites) == 6
    result = file_agrees(gated, _images(), tmp_path)
    assert 0 < sum(is_open.mean() for is_open in result.gates.values()) < 6


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", TABLE_2)
def test_filters_and_parameters_of_table_2(name: str) -> None:
    at, options, filters, millions = TABLE_2[name]
    with torch.device("meta"):
        net = build_net(name, **options)
    _counts(net, at, 8, filters, millions, 32, build_net("resnet20", shortcut="B"))


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", TABLE_3)
def test_filters_and_parameters_of_table_3(name: str) -> None:
    pytest.importorskip(name.partition(":")[0])
    at, bottleneck, filters, millions = TABLE_3[name]
    with torch.device("meta"):
        net = build_net(name)
    side = 299 if "inception" in name else 64
    _counts(net, at, bottleneck, filters, millions, side, build_net("torchvision:resnet18"))


def _counts(
    net: nn.Module, at: str, bottleneck: int, filters: int, millions: float, side: int, gater: nn.Module
) -> None:
    graph = read_network(net, torch.zeros(1, 3, side, side, device="meta"))
    assert sum(c.count for c in sg.ChannelGating(at).channels(graph)) == filters
    last = [module for module in gater.modules() if isinstance(module, nn.Linear)][-1]
    projection = (last.in_features + filters + 2 + 1) * bottleneck + filters  # two layers, the norm between them
    cut_off = sum(p.numel() for p in last.parameters())
    total = sum(p.numel() for part in (net, gater) for p in part.parameters()) - cut_off + projection
    assert round(total / 1e6, 2) == millions


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TABLE_2, *TABLE_3])
def test_the_papers_networks_train_a_step_and_run_in_the_engine(name: str, tmp_path: Path) -> None:
    if ":" in name:
        pytest.importorskip(name.partition(":")[0])
    at, options = (TABLE_2[name][0], TABLE_2[name][1]) if name in TABLE_2 else (TABLE_3[name][0], {})
    side = 299 if "inception" in name else 32 if name in TABLE_2 else 64
    torch.manual_seed(0)
    images = _images(2 if name in TABLE_2 else 4, side)
    gating = _gating(at, gater="resnet20" if name in TABLE_2 else "torchvision:resnet18")
    gated = sg.gate_model(build_net(name, **options), gating, images[:1])
    for module in gated.modules():
        if isinstance(module, nn.BatchNorm2d) and name in TABLE_3:
            module.momentum = 1.0  # evaluation normalises by this batch; else a hundred sums grow without bound
    optimizer = torch.optim.SGD(gated.parameters(), lr=1e-3)
    torch.nn.functional.cross_entropy(gated.train()(images), torch.arange(len(images))).backward()
    optimizer.step()
    file_agrees(gated.eval(), images, tmp_path)
