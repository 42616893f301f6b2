"""What an image set holds, and what it refuses to hold."""

import pytest
import torch

from sluicegate.data import ImageSet
from sluicegate.errors import InputError

IMAGES = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).view(4, 3, 2, 2)
LABELS = torch.tensor([0, 1, 0, 1])
STATISTICS = ((0.5,) * 3, (0.2,) * 3)


def test_length_subset_and_device() -> None:
    images = ImageSet(IMAGES, LABELS, ("a", "b"), *STATISTICS)
    part = images.subset([3, 0])
    assert len(images) == 4 and len(part) == 2
    assert torch.equal(part.images, IMAGES[[3, 0]]) and part.labels.tolist() == [1, 0]
    assert part.classes == images.classes and part.mean == images.mean
    assert torch.equal(images.to("cpu").images, IMAGES)


@pytest.mark.parametrize(
    ("images", "labels", "mean", "message"),
    [
        (IMAGES.float(), LABELS, (0.5,) * 3, r"images: float32 \[4, 3, 2, 2\] must be uint8"),
        (IMAGES[0], LABELS, (0.5,) * 3, r"images: uint8 \[3, 2, 2\] must be uint8 \[N, C, H, W\]"),
        (IMAGES, LABELS[:2], (0.5,) * 3, r"labels: int64 \[2\] must be int64 \[4\]"),
        (IMAGES, LABELS.int(), (0.5,) * 3, r"labels: int32 \[4\] must be int64 \[4\]"),
        (IMAGES, LABELS + 1, (0.5,) * 3, r"labels: 1\.\.2 must lie in 0\.\.1"),
        (IMAGES, LABELS - 1, (0.5,) * 3, r"labels: -1\.\.0 must lie in 0\.\.1"),
        (IMAGES[:0], LABELS[:0], (0.5,) * 3, "images: none"),
        (IMAGES, LABELS, (0.5,), "must have 3 channels each"),
    ],
)
def test_what_does_not_fit_is_refused(
    images: torch.Tensor, labels: torch.Tensor, mean: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ImageSet(images, labels, ("a", "b"), mean, (0.2,) * 3)
