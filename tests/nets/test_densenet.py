"""DenseNet-BC: sizes as published, shapes, refusals."""

import pytest
import torch
from torch import fx

from sluicegate.errors import InputError
from sluicegate.nets import densenet_bc


@pytest.mark.parametrize(("depth", "growth", "millions"), [(100, 12, 0.77), (250, 24, 15.32), (190, 40, 25.62)])
def test_parameters_are_those_of_gaternet_table_2(depth: int, growth: int, millions: float) -> None:
    with torch.device("meta"):
        net = densenet_bc(depth, growth)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions


def test_a_layer_keeps_what_was_there_and_a_transition_halves_it() -> None:
    net = densenet_bc(22, growth=4).eval()
    x = net.conv1(torch.randn(2, 3, 32, 32))
    y = net.block1(x)
    assert x.shape == (2, 8, 32, 32) and y.shape == (2, 8 + 3 * 4, 32, 32)
    assert torch.equal(y[:, :8], x)
    assert net.transition1(y).shape == (2, 10, 16, 16)


@pytest.mark.parametrize("training", [False, True])
def test_the_traced_network_computes_the_same(training: bool) -> None:
    net, x = densenet_bc(16, growth=4, classes=7, in_channels=1).train(training), torch.randn(2, 1, 28, 28)
    assert net(x).shape == (2, 7)
    assert torch.equal(fx.symbolic_trace(net)(x), net(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 4}, r"depth: 4 must be 6n \+ 4, from 10 on"), ({"depth": 16, "growth": 0}, "growth: 0 must be")],
)
def test_a_bad_option_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        densenet_bc(**options)
