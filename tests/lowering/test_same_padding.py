"""Zeros around the plane that a convolution alone reads become its own padding, also on one side only."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import Lowered, lift, lower
from sluicegate.lowering.verify import verify_lowered
from sluicegate_runtime import without_gates

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


class Padded(nn.Module):
    """conv -> pad -> conv, the pad perhaps read twice."""

    def __init__(self, edges: tuple[int, ...], conv: nn.Conv2d, twice: bool = False, **pad) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.edges, self.conv, self.twice, self.pad = edges, conv, twice, pad

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.norm(self.first(x)).relu(), self.edges, **self.pad)
        y = self.conv(x)
        return self.last((y + F.avg_pool2d(x, 3, 2) if self.twice else y).mean((2, 3)))


def lowered(net: nn.Module) -> Lowered:
    made = lower(net.eval(), IMAGES[:1])
    verify_lowered(net, made, IMAGES)
    return made


def kinds(net: nn.Module) -> list[str]:
    return [op.kind for op in lowered(net).program.ops]


@pytest.mark.cases(4)
@pytest.mark.parametrize("edges", [(0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1), (0, 2), (0, 0, 1, 2)])
@pytest.mark.parametrize("groups", [1, 8])
def test_zeros_become_padding(edges, groups):
    torch.manual_seed(0)
    made = lowered(Padded(edges, nn.Conv2d(8, 8, 3, 2, groups=groups)))
    left, right, top, bottom = (*edges, 0, 0)[:4]
    (conv,) = (op for op in made.program.ops if op.attributes.get("stride") == (2, 2))
    assert conv.attributes["padding"] == (top, left)
    assert conv.attributes["extra_padding"] == (bottom - top, right - left)
    assert "pad" not in {op.kind for op in made.program.ops}


def test_a_convolutions_own_padding_is_added():
    (conv,) = (op for op in lowered(Padded((0, 1, 0, 1), nn.Conv2d(8, 8, 5, padding=2))).program.ops[1:2])
    assert (conv.attributes["padding"], conv.attributes["extra_padding"]) == ((2, 2), (1, 1))


@pytest.mark.parametrize(
    "net",
    [
        Padded((1, 1, 1, 1), nn.Conv2d(8, 8, 3), mode="reflect"),
        Padded((0, 1, 0, 1), nn.Conv2d(8, 8, 3), value=0.5),
        Padded((0, 3, 0, 0), nn.Conv2d(8, 8, 3)),
        Padded((0, 1, 0, 1), nn.Conv2d(8, 8, 3, 2), twice=True),
        Padded((0, 1, 0, 1), nn.Conv2d(8, 8, 1)),
    ],
    ids=["reflected", "not zero", "more than the kernel reaches over", "read twice", "a single tap"],
)
def test_other_pads_stay(net):
    assert kinds(net).count("pad") == 1


@pytest.mark.parametrize("kernel", [2, (3, 4)])
def test_same_padding_of_even_kernels(kernel):
    """torch puts the odd pixel below and right."""
    assert kinds(Padded((0, 0), nn.Conv2d(8, 8, kernel, padding="same"))) == kinds(Padded((0, 0), nn.Conv2d(8, 8, 1)))


class Block(nn.Module):
    """A residual block whose second convolution reads zeros below and right of the plane alone."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)
        self.second, self.third, self.last = nn.Conv2d(8, 8, 3, groups=groups), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.second(F.pad(self.first(x).relu(), (0, 2, 0, 2)))
        return self.last((x + self.third(y.relu())).mean((2, 3)))


@pytest.mark.parametrize("groups", [1, 8])
def test_gated_channels_go_through(groups):
    """A mask stands between; outputs, decisions and MACs are compared."""
    torch.manual_seed(0)
    gated = sg.gate_model(Block(groups).eval(), sg.JointGating(initial_open_rate=0.5), IMAGES[:1]).eval()
    assert {site.kind for site in gated.sites.values()} == {"layer", "channel"}
    made = lower(gated)
    verify_lowered(gated, made, IMAGES)
    assert not {"pad", "select"} & {op.kind for op in made.program.ops}


def test_a_gate_that_looks_at_the_zeros_too_keeps_them():
    torch.manual_seed(0)
    net = Padded((0, 1, 0, 1), nn.Conv2d(8, 8, 3, 2)).eval()
    gated = sg.gate_model(net, sg.ChannelGating("all", initial_open_rate=0.5), IMAGES[:1]).eval()
    made = lower(gated)
    verify_lowered(gated, made, IMAGES)
    assert "pad" in {op.kind for op in made.program.ops}


def test_tensorflows_networks_have_no_pad_left():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    images = torch.randn(1, 3, 64, 64)
    made = lower(net, images)
    verify_lowered(net, made, images)
    assert "pad" not in {op.kind for op in made.program.ops}


def test_there_and_back():
    torch.manual_seed(0)
    made = lowered(Padded((0, 1, 2, 1), nn.Conv2d(8, 8, 3, 2)))
    lifted = lift(without_gates(made.artifact))
    again = lower(lifted, IMAGES[:1])
    assert [op.attributes for op in again.program.ops] == [op.attributes for op in made.program.ops]
    torch.testing.assert_close(lifted(IMAGES), lift(again.artifact)(IMAGES))
