"""Sites are found by structure, in networks that know nothing of gates."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from sluicegate import InputError
from sluicegate.graph import shape
from sluicegate.nets import build_net
from sluicegate.ops import read_network
from sluicegate.sites import channels_at, find_branches, find_channels, find_stages, stage_at

IMAGE = torch.zeros(1, 3, 64, 64)


def test_basic_blocks_of_torchvision() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    assert [b.name for b in find_branches(graph)] == [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]
    inside = [c for c in find_channels(graph) if c.branch]
    assert [c.name for c in inside] == [f"layer{i}.{j}.conv1" for i in range(1, 5) for j in range(2)]
    assert [c.count for c in inside] == [64, 64, 128, 128, 256, 256, 512, 512]


def test_a_branch_is_the_side_with_more_convolutions() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    downsampling = next(b for b in find_branches(graph) if b.name == "layer2.0")
    names = [str(n.target) for n in downsampling.nodes]
    assert names == ["layer2.0.conv1", "layer2.0.bn1", "layer2.0.relu", "layer2.0.conv2", "layer2.0.bn2"]


def test_masks_come_after_the_activation_and_heads_read_the_block_input() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    first = next(c for c in find_channels(graph) if c.name == "layer1.0.conv1")
    assert str(first.value.target) == "layer1.0.relu"
    assert str(first.reads.target) == "maxpool"


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("net", "branches", "sites"),
    [
        (torchvision.models.resnet50, 16, 32),
        (torchvision.models.resnext50_32x4d, 16, 32),
        (torchvision.models.mobilenet_v2, 10, 10),
        (lambda: timm.create_model("resnet50"), 16, 32),
        (lambda: timm.create_model("resnet26d"), 8, 16),
        (lambda: timm.create_model("resnet33ts"), 10, 20),
        (lambda: timm.create_model("resnetv2_50"), 16, 32),
        (lambda: timm.create_model("seresnet18"), 8, 8),
    ],
    ids=("resnet50", "resnext50", "mobilenet_v2", "timm", "timm-d", "timm-normact", "timm-preact", "timm-se"),
)
def test_counts_of_branches_and_sites(net, branches: int, sites: int) -> None:
    graph = read_network(net(), IMAGE)
    assert len(find_branches(graph)) == branches
    assert len([c for c in find_channels(graph) if c.branch]) == sites


def test_preactivation_blocks() -> None:
    graph = read_network(build_net("preact_resnet164"), torch.zeros(1, 3, 32, 32))
    assert len(find_branches(graph)) == 54
    assert len([c for c in find_channels(graph) if c.branch]) == 108


def test_a_mask_before_a_batch_norm_is_refused() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    with pytest.raises(InputError, match=r"at: 'layer1\.0\.conv1' stands before 'layer1\.0\.bn1' \(channel_affine\)"):
        channels_at(graph, "layer1.0.conv1")


def test_places_that_are_none() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    with pytest.raises(InputError, match="at: 'layer9' is not a module of the network"):
        channels_at(graph, "layer9")
    with pytest.raises(InputError, match=r"at: 'layer1\.0\.relu' is called 2 times"):
        channels_at(graph, "layer1.0.relu")
    with pytest.raises(InputError, match=r"at: 'layer1\.0\.bn2' is no place for channel gates"):
        channels_at(graph, "layer1.0.bn2")


class _Sum(nn.Module):
    """Two branches of equal depth: neither is the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 1)
        self.b = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class _Leaky(nn.Module):
    """A branch whose middle is read from outside: it cannot be skipped, nor can its channels be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 1)
        self.conv2 = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(x)
        return (x + self.conv2(inner)) * inner


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class _Aux(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if self.training else x


@pytest.mark.parametrize("net", [_Sum(), _Leaky()], ids=("sum", "leaky"))
def test_what_only_looks_like_a_branch_is_left_alone(net: nn.Module) -> None:
    graph = read_network(net, IMAGE)
    assert find_branches(graph) == [] and find_channels(graph) == []


def test_shapes_are_noted() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    assert shape(next(n for n in graph.graph.nodes if n.target == "layer2.0.conv1"))[1:] == (128, 8, 8)


def test_training_mode_survives_a_read_network() -> None:
    net = torchvision.models.resnet18()
    for mode in (True, False):
        net.train(mode)
        assert read_network(net, IMAGE).training is net.training is mode


@pytest.mark.parametrize(
    ("net", "image", "message"),
    [
        (_Branching(), IMAGE, "net: _Branching cannot be traced: .*control flow"),
        (_Aux(), IMAGE, "net: _Aux cannot be traced: its graph depends on the training mode"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)),
            torch.zeros(1, 1, 8, 8),
            r"does not accept inputs of shape \(1, 1, 8, 8\)",
        ),
    ],
    ids=("branching", "mode", "size"),
)
def test_refusals_are_one_line(net: nn.Module, image: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_network(net, image)
    assert "\n" not in str(error.value)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("net", "stages"),
    [
        (lambda: build_net("resnet20"), {"layer1": 64, "layer2": 32}),
        (lambda: build_net("preact_resnet29"), {"layer1": 64, "layer2": 32}),
        (torchvision.models.resnet50, {"layer1": 16, "layer2": 8, "layer3": 4}),
        (torchvision.models.densenet121, {f"features.denseblock{i}": 32 // 2**i for i in (1, 2, 3)}),
        (torchvision.models.mobilenet_v2, {"features.3": 16, "features.6": 8, "features.13": 4}),
        (
            partial(torchvision.models.googlenet, aux_logits=False, init_weights=False),
            {"inception3b": 8, "inception4e": 4},
        ),
        (torchvision.models.vgg11_bn, {"features.2": 64, "features.6": 32, "features.13": 16, "features.20": 8}),
        (lambda: timm.create_model("seresnet18"), {"layer1": 16, "layer2": 8, "layer3": 4}),
    ],
    ids=("cifar", "preact", "resnet50", "densenet", "mobilenet_v2", "googlenet", "vgg", "timm-se"),
)
def test_stages_end_where_the_resolution_is_about_to_fall(net, stages: dict[str, int]) -> None:
    """A residual or dense network's after its last block there, VGG's after the activation of its last convolution."""
    graph = read_network(net(), IMAGE)
    assert {stage.name: shape(stage.value)[2] for stage in find_stages(graph)} == stages
    assert [stage_at(graph, name) for name in stages] == find_stages(graph)


def test_a_stage_is_named_by_any_module_that_all_goes_through() -> None:
    graph = read_network(torchvision.models.resnet18(), IMAGE)
    assert stage_at(graph, "maxpool").value.name == "maxpool"
    assert stage_at(graph, "layer2.0").value.name == "layer2_0_relu_1"
    for name in ("layer2.0.conv1", "fc"):
        with pytest.raises(InputError, match=f"at: '{name}' is no place for an exit"):
            stage_at(graph, name)
