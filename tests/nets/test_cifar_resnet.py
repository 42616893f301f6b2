"""CIFAR ResNets: sizes as published, shapes, options, published weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import fx, nn

from sluicegate.data import load
from sluicegate.errors import InputError
from sluicegate.nets import CifarResNet, build_net, cifar_resnet, preact_resnet
from sluicegate.nets.cifar_resnet import SubsampleAndPad

IMAGENET_MEAN = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
IMAGENET_STD = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7), (1202, 19.4)]
)
def test_parameters_are_those_of_he_et_al_table_6(depth: int, millions: float) -> None:
    digits = len(str(millions).partition(".")[2])
    assert round(parameters(cifar_resnet(depth)) / 1e6, digits) == pytest.approx(millions)


def test_preactivation_164_has_the_published_1_7_million_parameters() -> None:
    assert round(parameters(preact_resnet(164)) / 1e6, 1) == 1.7


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("name", ["resnet8", "preact_resnet11"])
def test_grey_images_of_either_size_give_logits(name: str, size: int) -> None:
    net = build_net(name, in_channels=1, classes=7).eval()
    assert net(torch.zeros(2, 1, size, size)).shape == (2, 7)


def test_stages_halve_the_image_and_double_the_channels() -> None:
    net = cifar_resnet(8, width=2)
    x = net.relu(net.bn1(net.conv1(torch.zeros(1, 3, 32, 32))))
    shapes = [tuple((x := stage(x)).shape[1:]) for stage in (net.layer1, net.layer2, net.layer3)]
    assert shapes == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]


def test_width_and_shortcut_b_widen_as_they_should() -> None:
    plain, projected = cifar_resnet(8), cifar_resnet(8, shortcut="B")
    projections = 16 * 32 + 32 * 64 + 2 * 32 + 2 * 64  # two 1x1 convolutions, weight and bias of two batch norms
    assert parameters(projected) - parameters(plain) == projections
    assert cifar_resnet(8, width=0.5).linear.in_features == 32


def test_shortcut_a_keeps_every_second_pixel_between_zeros() -> None:
    x = torch.randn(2, 4, 7, 7)
    y = SubsampleAndPad(4, 8, stride=2)(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any() and not y[:, 6:].any()


@pytest.mark.parametrize("name", ["resnet14", "preact_resnet20"])
@pytest.mark.parametrize("training", [False, True])
def test_the_traced_network_computes_the_same(name: str, training: bool) -> None:
    net = build_net(name).train(training)
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(fx.symbolic_trace(net)(x), net(x))


def test_every_relu_is_called_once() -> None:
    called = [node.target for node in fx.symbolic_trace(cifar_resnet(14)).graph.nodes if "relu" in str(node.target)]
    assert len(called) == len(set(called)) == 1 + 2 * 6


@pytest.mark.parametrize("depth", [2, 9, 34, 1208])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(InputError, match=rf"^depth: {depth} must be 6n \+ 2, from 8 to 1202$"):
        cifar_resnet(depth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width: 0 must be positive"),
        ({"width": 0.3}, "width: 0.3 must be positive, and 16 times it a whole number"),
        ({"classes": 0}, "classes: 0 must be a whole number, 1 or more"),
        ({"in_channels": "3"}, "in_channels: '3' must be a whole number"),
        ({"shortcut": "C"}, "shortcut: 'C' must be 'A' or 'B'"),
    ],
)
def test_a_bad_option_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cifar_resnet(8, **options)


@pytest.fixture
def weights(data_root: Path) -> Path:
    """The folder of published weights, which lies beside the data."""
    folder = data_root.parent / "weights"
    if not folder.is_dir():
        pytest.skip(f"no published weights in {folder}")
    return folder


def published(folder: Path, depth: int) -> CifarResNet:
    net = cifar_resnet(depth)
    net.load_state_dict(load_file(folder / f"cifar10_resnet{depth}.safetensors"), strict=True)
    return net.eval()


@torch.no_grad()
def correct(net: nn.Module, root: Path, limit: int | None = None) -> int:
    test = load("cifar10", "test", data_dir=root / "cifar10", limit=limit)
    hits = 0
    for images, labels in zip(test.images.split(500), test.labels.split(500), strict=True):
        hits += int((net((images / 255 - IMAGENET_MEAN) / IMAGENET_STD).argmax(1) == labels).sum())
    return hits


@pytest.mark.data
@pytest.mark.parametrize("depth", [20, 32, 56])
def test_published_weights_load_strictly(weights: Path, depth: int) -> None:
    published(weights, depth)


@pytest.mark.data
def test_published_resnet20_on_1000_test_images(weights: Path, data_root: Path) -> None:
    assert correct(published(weights, 20), data_root, limit=1000) == 910


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("depth", "hits"), [(20, 9173), (56, 9339)])
def test_published_accuracy_on_the_whole_test_set(weights: Path, data_root: Path, depth: int, hits: int) -> None:
    assert correct(published(weights, depth), data_root) == hits
