"""What a network must know of a data set, and what it cannot be."""

import pytest

from sluicegate.data import DataSpec
from sluicegate.errors import InputError


def test_a_description_is_its_own() -> None:
    spec = DataSpec((1, 8, 9), ("a", "b"), (0.5,), (0.2,))
    assert spec.spec is spec and spec == DataSpec((1, 8, 9), ("a", "b"), (0.5,), (0.2,))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [((0.5,), (0.2, 0.2), "must have 2 channels each"), ((0.5, 0.5), (0.2, 0.0), r"std: \(0.2, 0.0\) must be above 0")],
)
def test_figures_that_do_not_fit_are_refused(mean, std, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DataSpec((2, 8, 9), ("a", "b"), mean, std)
