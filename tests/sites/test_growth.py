"""What dense layers add to concatenations; concatenations that are part of others; shortcuts of two layers."""

import torch
from torch import Tensor, nn

from sluicegate.nets import build_net
from sluicegate.ops import read_network
from sluicegate.sites import find_branches, find_concatenations, find_growths


def _read(net: nn.Module):
    return read_network(net, torch.zeros(1, 3, 8, 8))


class Listed(nn.Module):
    """A dense block that keeps a list of all values, as torchvision's does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(4 + 2 * i), nn.ReLU(), nn.Conv2d(4 + 2 * i, 2, 3, padding=1)) for i in range(3)
        )
        self.last = nn.Sequential(nn.BatchNorm2d(10), nn.Conv2d(10, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        values = [self.stem(x)]
        for layer in self.layers:
            values.append(layer(torch.cat(values, 1) if len(values) > 1 else values[0]))
        return self.last(torch.cat(values, 1))


def test_all_dense_layers_of_a_block_but_the_first() -> None:
    found = find_growths(_read(build_net("densenet_bc22_k4")))
    assert [c.name for c in found] == [f"block{b}.{i}.conv2" for b in (1, 2, 3) for i in (1, 2)]
    assert all(c.count == 4 and c.reads.name.startswith("cat") for c in found)


def test_a_block_that_keeps_a_list_of_values() -> None:
    assert [c.name for c in find_growths(_read(Listed()))] == ["layers.1.2", "layers.2.2"]


class Nested(nn.Module):
    """Two of three paths part once more, as in Inception-C."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 2, 1) for _ in range(3))
        self.last = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.cat([self.a(x), self.b(x)], 1)
        return self.last(torch.cat([inner, self.c(x)], 1))


def test_a_concatenation_that_is_part_of_another_has_no_gates_of_its_own() -> None:
    assert [c.count for c in find_concatenations(_read(Nested()))] == [6]
    assert not find_growths(_read(Nested()))


def test_a_shortcut_may_have_as_many_layers_side_by_side_as_a_branch_has_in_a_row() -> None:
    found = find_branches(_read(build_net("shake_shake8_2x8d")))
    assert [b.name for b in found] == [f"layer{i}.0.branch{j}" for i in (1, 2, 3) for j in (1, 2)]
