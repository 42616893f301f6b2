"""Networks by name."""

import sys

import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.nets import CifarResNet, PreactResNet, build_net, load_library_weights, statistics_of


def test_any_valid_depth_is_a_name() -> None:
    net = build_net("resnet26")
    assert isinstance(net, CifarResNet) and len(net.layer1) == 4
    assert isinstance(build_net("preact_resnet29"), PreactResNet)


def test_options_reach_the_network() -> None:
    net = build_net("resnet8", classes=100, width=2)
    assert isinstance(net, CifarResNet)
    assert (net.linear.in_features, net.linear.out_features) == (128, 100)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_builds_its_own(library: str) -> None:
    pytest.importorskip(library)
    net = build_net(f"{library}:resnet18", classes=5)
    assert type(net).__module__.startswith(library)
    assert net.get_parameter("fc.weight").shape == (5, 512)


@pytest.mark.parametrize("name", ["vgg", "resnet", "resnet20x2", ""])
def test_an_unknown_name_lists_the_forms(name: str) -> None:
    with pytest.raises(InputError, match=r"is not a network; known forms: resnet<6n\+2>, preact_resnet"):
        build_net(name)


def test_a_network_of_ones_own_is_found_from_the_working_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def flat(num_classes, width=2):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(width, num_classes))\n"
        "def broken():\n"
        "    raise RuntimeError('no\\nluck')\n"
        "def word():\n"
        "    return 'text'\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    net = build_net("own_nets:flat", classes=5, in_channels=1, width=3)
    assert net.get_parameter("1.weight").shape == (5, 3)
    for name, named in {
        "own_nets:broken": "RuntimeError: no luck",
        "own_nets:gone": "AttributeError",
        "no_such_nets:flat": "ModuleNotFoundError",
        "own_nets:word": "made no torch.nn.Module, but str",
    }.items():
        with pytest.raises(InputError, match=named) as refusal:
            build_net(name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match="TypeError"):
        build_net("own_nets:flat", classes=5, depth=3)
    assert sys.path == before


@pytest.fixture
def pretrained(monkeypatch):
    """Stands in for what a library downloads: a network of a thousand classes whose weights are all 0.5."""
    from sluicegate.nets import build

    def make(model: str):
        net = build_net(f"timm:{model}")
        for parameter in net.parameters():
            torch.nn.init.constant_(parameter, 0.5)
        return net

    monkeypatch.setitem(build._PRETRAINED, "timm", make)


def test_pretrained_weights_leave_out_a_last_layer_of_other_classes(pretrained) -> None:
    pytest.importorskip("timm")
    same, other = build_net("timm:resnet18"), build_net("timm:resnet18", classes=7)
    for net in (same, other):
        load_library_weights(net, "timm:resnet18")
        assert net.get_parameter("conv1.weight").eq(0.5).all()
    assert same.get_parameter("fc.weight").eq(0.5).all()
    assert not other.get_parameter("fc.weight").eq(0.5).any()
    with pytest.raises(InputError, match=r"'timm:resnet18' are for other classes, so 'fc\.weight' is not trained"):
        load_library_weights(other, "timm:resnet18", whole=True)


def test_pretrained_weights_of_another_network_or_of_none_are_refused(pretrained) -> None:
    pytest.importorskip("timm")
    with pytest.raises(InputError, match=r"do not fit: they lack 'conv1\.weight'"):
        load_library_weights(build_net("timm:resnet18", in_chans=1), "timm:resnet34d")
    with pytest.raises(InputError, match="'pretrained' is for torchvision and timm networks; 'resnet20' needs a file"):
        load_library_weights(build_net("resnet20"), "resnet20")


def test_weights_that_cannot_be_had_are_one_line(monkeypatch) -> None:
    from sluicegate.nets import build

    def offline(model: str):
        raise OSError("no route\nto host")

    monkeypatch.setitem(build._PRETRAINED, "torchvision", offline)
    with pytest.raises(
        InputError, match="torchvision has no pretrained weights for 'torchvision:alexnet': no route to"
    ):
        load_library_weights(build_net("resnet8"), "torchvision:alexnet")


def test_statistics_are_those_of_the_librarys_weights() -> None:
    pytest.importorskip("timm")
    assert statistics_of("timm:tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert statistics_of("torchvision:resnet18") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert statistics_of("resnet20") is None


def test_a_depth_that_is_no_cifar_resnet_points_to_the_other_forms() -> None:
    with pytest.raises(InputError, match=r"net: resnet34: depth: 34 must be 6n \+ 2.*torchvision:<model>"):
        build_net("resnet34")


def test_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="net: resnet20 has no option 'depht'; known: classes, width"):
        build_net("resnet20", depht=20)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_model_or_option_that_the_library_lacks_is_refused(library: str) -> None:
    pytest.importorskip(library)
    with pytest.raises(InputError, match=f"'{library}:resnet19' is not a model"):
        build_net(f"{library}:resnet19")
    with pytest.raises(InputError, match=f"'{library}:resnet18' refuses options"):
        build_net(f"{library}:resnet18", gates=3)


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"^net: timm does not import \(.*\); try: pip install timm$"):
        build_net("timm:resnet18")
