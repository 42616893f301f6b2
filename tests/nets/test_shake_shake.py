"""Shake-Shake: sizes as published, random mixing in training, the mean in evaluation."""

import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.nets import shake_shake
from sluicegate.nets.shake_shake import ShakeBlock, ShakeShake, ShiftedShortcut


@pytest.mark.parametrize(("width", "millions"), [(64, 11.71), (96, 26.33)])
def test_parameters_are_those_of_gaternet_table_2(width: int, millions: float) -> None:
    with torch.device("meta"):
        net = shake_shake(26, width, stem=width)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("width", "millions"), [(32, 2.9), (64, 11.7), (96, 26.2)])
def test_parameters_with_the_first_convolution_of_16(width: int, millions: float) -> None:
    with torch.device("meta"):
        net = shake_shake(26, width)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions


def test_evaluation_has_the_mean_of_the_branches() -> None:
    block, x = ShakeBlock(8, 8, 1).eval(), torch.randn(3, 8, 5, 5)
    whole = [2 * branch(x) for branch in (block.branch1, block.branch2)]
    torch.testing.assert_close(block(x), x + (whole[0] + whole[1]) / 2)


def test_training_mixes_each_image_by_one_draw_and_its_gradient_by_another() -> None:
    torch.manual_seed(0)
    first, second = torch.ones(512, 2, 3, 3).requires_grad_(), torch.zeros(512, 2, 3, 3).requires_grad_()
    mixed = ShakeShake()(first, second)
    mixed.sum().backward()
    assert first.grad is not None and second.grad is not None
    forward, backward = mixed[:, 0, 0, 0].detach(), first.grad[:, 0, 0, 0]
    assert torch.equal(mixed, forward[:, None, None, None].expand_as(mixed))  # one draw an image
    torch.testing.assert_close(first.grad + second.grad, torch.full_like(first.grad, 2))
    for draws in (forward, backward):  # 2 U(0, 1)
        assert draws.min() < 0.05 and draws.max() > 1.95 and abs(float(draws.mean()) - 1) < 0.1
    assert abs(float(torch.corrcoef(torch.stack([forward, backward]))[0, 1])) < 0.15


def test_the_shortcut_sees_the_image_and_the_image_one_pixel_on() -> None:
    shortcut, x = ShiftedShortcut(1, 2, 2).eval(), torch.rand(1, 1, 6, 6)
    for convolution in (shortcut.conv1, shortcut.conv2):
        torch.nn.init.ones_(convolution.weight)
    made = shortcut(x) * (1 + shortcut.bn.eps) ** 0.5
    torch.testing.assert_close(made[0, 0], x[0, 0, ::2, ::2])
    torch.testing.assert_close(made[0, 1], x[0, 0, 1::2, 1::2])


@pytest.mark.parametrize("size", [28, 32])
def test_grey_images_give_logits(size: int) -> None:
    assert shake_shake(8, 8, classes=7, in_channels=1)(torch.zeros(2, 1, size, size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 27}, r"depth: 27 must be 6n \+ 2, from 8 on"), ({"stem": 0}, "stem: 0 must be a whole number")],
)
def test_a_bad_option_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shake_shake(**options)
