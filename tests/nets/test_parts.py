"""Squeeze-and-excitation."""

import pytest
import torch

from sluicegate.errors import InputError
from sluicegate.nets.parts import SqueezeExcitation


def test_each_channel_is_scaled_by_one_factor_of_an_image() -> None:
    x = torch.rand(2, 8, 4, 4) + 0.5
    factor = SqueezeExcitation(8, 4)(x) / x
    assert ((factor > 0) & (factor < 1)).all()
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))


def test_a_reduction_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="squeeze: 0 must be a whole number, 1 or more"):
        SqueezeExcitation(8, 0)
