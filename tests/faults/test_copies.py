"""Frames, or copies of an image, folded into the batch: counted for each image, and never gated by the frame."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg

FRAMES = 4
ONE = 8 * 8 * 9 * (3 * 8 + 8 * 8 + 8 * 8) + 8 * 5
"""MACs of the backbone on one plane."""


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.fc = nn.Linear(8, 5)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc((x + self.body(x)).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Viewed(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x.view(-1, 3, 8, 8)).view(-1, FRAMES, 5).mean(1)


class Flattened(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x.flatten(0, 1)).unflatten(0, (-1, FRAMES)).mean(1)


class Flipped(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(torch.cat([x, x.flip(3)])).view(2, -1, 5).mean(0)


class Repeated(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x.repeat(3, 1, 1, 1)).chunk(3)[0]


FOLDED = {Viewed: (FRAMES, (FRAMES, 3, 8, 8)), Flattened: (FRAMES, (FRAMES, 3, 8, 8)), Flipped: (2, (3, 8, 8)),
          Repeated: (3, (3, 8, 8))}  # fmt: skip


@pytest.mark.parametrize("net, copies, shape", [(net, *rest) for net, rest in FOLDED.items()])
@pytest.mark.parametrize("images", [1, 5])
def test_each_copy_is_counted(net: type[Backbone], copies: int, shape: tuple[int, ...], images: int) -> None:
    assert sg.MacModel(net(), torch.zeros(images, *shape)).dense == copies * ONE


@pytest.mark.parametrize("net, copies, shape", [(net, *rest) for net, rest in FOLDED.items()])
@pytest.mark.parametrize("gating", [sg.LayerGating(), sg.JointGating(sg.ChannelGating("stem"))])
def test_gates_that_would_decide_for_each_copy_are_refused(
    net: type[Backbone], copies: int, shape: tuple[int, ...], gating: Any
) -> None:
    with pytest.raises(sg.InputError, match=rf"holds {copies} copies of each image|holds several copies of an image"):
        sg.gate_model(net(), gating, torch.zeros(1, *shape))


def test_a_place_for_channels_is_refused_by_its_reason() -> None:
    with pytest.raises(sg.InputError, match=r"'mid' finds no place .* behind 'stem' its value holds several copies"):
        sg.gate_model(Viewed(), sg.ChannelGating(), torch.zeros(1, FRAMES, 3, 8, 8))


def test_gates_before_the_copies_are_made_decide_for_each_image() -> None:
    class Late(Backbone):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + self.body(x)
            return self.fc(torch.cat([x, x.flip(3)]).mean((2, 3))).view(2, -1, 5).mean(0)

    gated = sg.gate_model(Late(), sg.LayerGating(), torch.zeros(1, 3, 8, 8))
    _, gates = gated(torch.randn(5, 3, 8, 8), return_gates=True)
    assert gated.macs(gates).shape == (5,)
    assert gated.macs.dense == ONE + 40  # the last layer twice


def test_work_that_does_not_grow_with_the_images_is_refused() -> None:
    class First(Backbone):
        def forward(self, x: Tensor) -> Tensor:
            return self.features(x[:1])

    with pytest.raises(sg.InputError, match="'stem' does not grow in step with the number of images"):
        sg.MacModel(First(), torch.zeros(2, 3, 8, 8))
