"""Networks by name."""

import sys

import pytest

from sluicegate.errors import InputError
from sluicegate.nets import CifarResNet, PreactResNet, build_net


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
