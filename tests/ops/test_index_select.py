"""Channels by number, and sums with some channels: read from torch, counted, and the engine agrees."""

from pathlib import Path

import pytest
import torch
from agreement import file_agrees
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.lowering import lift, lower
from sluicegate.ops import kind_of, read_network
from sluicegate_runtime import without_gates


class Picking(nn.Module):
    """A branch that reads some channels and is added to others."""

    def __init__(self, reads: list[int], adds_to: list[int]) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 20, 3), nn.Linear(20, 5)
        self.conv1, self.conv2 = nn.Conv2d(len(reads), 24, 3, padding=1), nn.Conv2d(24, len(adds_to), 1)
        self.reads: Tensor
        self.adds_to: Tensor
        self.register_buffer("reads", torch.tensor(reads))
        self.register_buffer("adds_to", torch.tensor(adds_to))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.conv2(self.conv1(torch.index_select(x, 1, self.reads)).relu())
        return self.head(x.index_add(1, self.adds_to, y).mean((2, 3)))


@pytest.mark.cases(4)
@pytest.mark.parametrize("reads", [[3, 0, 19], list(range(2, 18)), [7, 7, 1]])
@pytest.mark.parametrize("adds_to", [[5], [19, 2, 7], list(range(20))])
def test_the_file_computes_what_torch_does(reads: list[int], adds_to: list[int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, images = Picking(reads, adds_to).eval(), torch.randn(4, 3, 9, 9)
    assert [kind_of(node) for node in read_network(net, (images,)).graph.nodes].count("index_select") == 2
    gated = sg.gate_model(net, sg.ChannelGating(initial_open_rate=0.5), images).eval()
    assert "conv1" in gated.sites
    file_agrees(gated, images, tmp_path)
    lifted = lift(without_gates(lower(gated).artifact))
    torch.testing.assert_close(lifted(images), net(images))


def test_a_branch_that_is_skipped_adds_to_no_channel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, images = Picking([1, 2], [0, 4]).eval(), torch.randn(8, 3, 9, 9)
    file_agrees(sg.gate_model(net, sg.LayerGating(initial_open_rate=0.5), images).eval(), images, tmp_path)


def test_numbers_that_are_not_known_before_are_not_read() -> None:
    """They depend on the image, or one channel is added to twice."""

    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.index_select(x, 1, x.mean((0, 2, 3)).argsort())

    images = torch.randn(2, 3, 9, 9)
    assert "index_select" not in map(kind_of, read_network(Sorted(), (images,)).graph.nodes)
    assert "add" not in map(kind_of, read_network(Picking([0], [1, 1]), (images,)).graph.nodes)
