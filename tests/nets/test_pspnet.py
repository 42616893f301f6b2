"""PSPNet: shapes, dilation, weights, and that it runs in the engine with gates as without."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees, gated_like
from small_resnet import SmallResNet
from torch import nn

import sluicegate as sg
from sluicegate.errors import InputError
from sluicegate.lowering import lower
from sluicegate.nets import PSPNet, build_net, load_library_weights
from sluicegate.train import read_weights
from sluicegate.train.weights import load_weights, save_weights

IMAGES = torch.randn(3, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def small(output_stride: int = 8, **options) -> PSPNet:
    torch.manual_seed(0)
    return PSPNet(SmallResNet(), 5, output_stride, **options).eval()


def last_map(net: PSPNet) -> torch.Size:
    return net.backbone(IMAGES).shape[2:]


def test_scores_have_the_size_of_the_image_at_any_output_stride() -> None:
    sizes = {}
    for stride in (8, 16, 32):
        net = small(stride)
        assert net(IMAGES).shape == (3, 5, 40, 56)
        sizes[stride] = tuple(last_map(net))
    assert sizes == {8: (10, 14), 16: (5, 7), 32: (3, 4)}, "the small stem divides by 2, not by 4"


def test_dilated_stages_see_as_far_as_strided_ones() -> None:
    net = small()
    convs = {name: module for name, module in net.backbone.named_modules() if isinstance(module, nn.Conv2d)}
    assert [convs[f"layer{n}.conv2"].dilation[0] for n in (1, 2, 3, 4)] == [1, 1, 2, 4]
    assert [convs[f"layer{n}.conv1"].stride[0] for n in (1, 2, 3, 4)] == [1, 2, 1, 1]
    assert all(module.dilation == (1, 1) for name, module in convs.items() if name.endswith("shortcut"))


def test_the_pyramid_is_the_papers() -> None:
    net = small()
    assert net.pyramid.channels == 2 * net.channels["layer4"] == 24
    x = torch.randn(2, 12, 6, 6)
    y = net.pyramid(x)
    assert torch.equal(y[:, :12], x)
    whole = y[:, 12:15]
    assert torch.allclose(whole, whole.mean((2, 3), keepdim=True).expand_as(whole)), "one bin: one value everywhere"


def test_an_auxiliary_head_reads_the_last_stage_but_one() -> None:
    net = small()
    scores = net(IMAGES)
    net.with_features = True
    both = net(IMAGES)
    assert torch.equal(both[0], scores)
    assert both[1].shape == (3, 8, 10, 14) and net.auxiliary_head().eval()(both[1]).shape == (3, 5, 10, 14)
    assert not any("auxiliary" in name for name in net.state_dict())


@pytest.mark.parametrize("stride", [8, 16])
def test_the_engine_runs_it(stride: int, tmp_path: Path) -> None:
    file_agrees(small(stride), IMAGES, tmp_path)


def test_gates_stand_inside_the_blocks_of_the_backbone_and_the_engine_heeds_them(tmp_path: Path) -> None:
    gated = gated_like(small(), sg.ChannelGating(), IMAGES)
    assert list(gated.sites) == [f"backbone.layer{n}.conv1" for n in (1, 2, 3, 4)]
    gated.strategy = sg.Threshold(0.97)
    result = file_agrees(gated, IMAGES, tmp_path)
    assert 0 < result.gates["backbone.layer4.conv1"].mean() < 1
    assert (result.macs < gated.macs.dense).all()


def test_training_and_evaluation_have_the_same_gates_and_weights() -> None:
    net = small()
    evaluated = sg.gate_model(net, sg.ChannelGating(), IMAGES[:1])
    net.with_features = True
    trained = sg.gate_model(net, sg.ChannelGating(), IMAGES[:1, :, :32, :32])
    evaluated.load_state_dict(trained.state_dict())
    assert list(evaluated.sites) == list(trained.sites)
    assert trained.macs.dense < evaluated.macs.dense


@pytest.mark.cases(1)
@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_libraries_resnets_are_backbones(library: str, name: str) -> None:
    pytest.importorskip(library)
    net = build_net("pspnet", backbone=f"{library}:{name}", classes=19)
    assert isinstance(net, PSPNet)
    lower(net, torch.zeros(1, 3, 64, 96))
    macs = sg.MacModel(net, torch.zeros(1, 3, 64, 96)).by_module()
    wide = 2048 if name == "resnet50" else 512
    assert macs["head.0"].dense == 9 * 2 * wide * (wide // 4) * (8 * 12)


def test_a_classifiers_weights_fill_the_backbone(tmp_path: Path) -> None:
    resnet, net = SmallResNet(), small()
    save_weights(resnet, tmp_path / "resnet.safetensors")
    heads = net.get_parameter("head.0.weight").clone()
    load_weights(net, tmp_path / "resnet.safetensors")
    assert torch.equal(net.backbone.get_parameter("layer4.conv2.weight"), resnet.get_parameter("layer4.conv2.weight"))
    assert torch.equal(net.get_parameter("head.0.weight"), heads)
    save_weights(net, tmp_path / "whole.safetensors")
    again = PSPNet(SmallResNet(), 5)
    load_weights(again, tmp_path / "whole.safetensors")
    assert read_weights(tmp_path / "whole.safetensors").keys() == again.state_dict().keys()
    assert torch.equal(again.get_parameter("head.0.weight"), heads)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    save_weights(SmallResNet((4, 8, 8, 16)), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"'backbone\.layer4\.conv1\.weight' has shape"):
        load_weights(small(), tmp_path / "other.safetensors")


def test_pretrained_weights_are_those_of_the_backbones_library(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")
    from sluicegate.nets import build

    trained = build_net("torchvision:resnet18")
    monkeypatch.setitem(build._PRETRAINED, "torchvision", lambda model: trained)
    net = build_net("pspnet", backbone="torchvision:resnet18", classes=3)
    load_library_weights(net, "pspnet")
    assert torch.equal(
        net.get_parameter("backbone.layer3.0.conv1.weight"), trained.get_parameter("layer3.0.conv1.weight")
    )
    with pytest.raises(InputError, match="only for its backbone, so it cannot be a teacher"):
        load_library_weights(net, "pspnet", whole=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 4}, "output_stride: 4 must be one of 8, 16, 32"),
        ({"classes": 0}, "classes, width: 0, None must be 1 or more"),
        ({"depth": 3}, "pspnet has no option 'depth'; known: backbone, classes"),
        ({"backbone": "resnet8"}, "backbone: CifarResNet has no 'layer4'"),
    ],
)
def test_what_makes_no_pspnet_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_net("pspnet", **({"backbone": "small_resnet:SmallResNet"} | options))


def test_a_pool_in_a_dilated_stage_is_refused() -> None:
    resnet = SmallResNet()
    resnet.get_submodule("layer4").add_module("shortcut", nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 12, 1)))
    with pytest.raises(InputError, match=r"backbone: 'shortcut\.0' is a pool"):
        PSPNet(resnet, 5)
