"""The package's own networks by name: the baselines of GaterNet's Table 1, batch shaping's widths."""

import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.nets import CifarResNet, DenseNetBC, ShakeShakeNet, build_net


@pytest.mark.parametrize(
    ("name", "options", "millions"),
    [
        ("se_resnet20", {}, 0.28),
        ("se_resnet56", {}, 0.88),
        ("se_preact_resnet164", {"thin": True}, 2.00),
        ("resnet20_x1.4375", {}, 0.56),
        ("resnet56_x1.125", {}, 1.08),
        ("preact_resnet164_x1.125", {"thin": True}, 2.04),
        ("resnet20_x10", {}, 26.75),
        ("resnet20_x20", {}, 106.95),
    ],
)
def test_parameters(name: str, options: dict, millions: float) -> None:
    """The first six are in GaterNet's Table 1 (SE and Wider, CIFAR-10)."""
    with torch.device("meta"):
        net = build_net(name, **options)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions


def test_a_name_states_arguments() -> None:
    net = build_net("resnet8_x2", classes=7)
    assert isinstance(net, CifarResNet) and (net.linear.in_features, net.linear.out_features) == (128, 7)
    net = build_net("densenet_bc16_k4")
    assert isinstance(net, DenseNetBC) and (len(net.block1), net.conv1.out_channels) == (2, 8)
    net = build_net("shake_shake14_2x8d", stem=4)
    assert isinstance(net, ShakeShakeNet) and (len(net.layer1), net.linear.in_features) == (2, 32)


def test_an_option_may_change_what_a_name_only_suggests() -> None:
    with torch.device("meta"):
        few, many = (build_net("se_resnet8", **options) for options in ({"squeeze": 16}, {}))
    assert sum(p.numel() for p in few.parameters()) < sum(p.numel() for p in many.parameters())


def test_what_the_name_states_is_no_option() -> None:
    with pytest.raises(InputError, match="net: resnet8_x2 has no option 'width'; known: classes, shortcut"):
        build_net("resnet8_x2", width=3)
    with pytest.raises(InputError, match=r"net: densenet_bc99_k12: depth: 99 must be 6n \+ 4"):
        build_net("densenet_bc99_k12")
