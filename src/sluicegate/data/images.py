"""A set of images in memory. Shapes: N images, C channels, H x W pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sluicegate.data.batched import Batched
from sluicegate.data.batches import Batches
from sluicegate.data.order import Order
from sluicegate.data.spec import DataSpec
from sluicegate.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageSet(Batched[Batches]):
    """Labelled images of one size.

    Attributes:
        images: uint8 [N, C, H, W], 0 to 255.
        labels: int64 [N], indices into `classes`.
        classes: a name for each class.
        mean: the mean of each channel over the training images, with pixels from 0 to 1.
        std: their standard deviation.

    Raises:
        InputError: the tensors' types, shapes or labels are not as said above.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise InputError(f"images: {_describe(self.images)} must be uint8 [N, C, H, W]")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise InputError(f"labels: {_describe(self.labels)} must be int64 [{len(self.images)}]")
        if not len(self.images):
            raise InputError("images: none; a set needs at least one")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise InputError(f"labels: {low}..{high} must lie in 0..{len(self.classes) - 1}, by class")
        DataSpec(self.shape, self.classes, self.mean, self.std)  # refuses what does not fit

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H and W of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def spec(self) -> DataSpec:
        """The set without its images."""
        return DataSpec(self.shape, self.classes, self.mean, self.std)

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same set with its tensors on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def in_order(self, order: Order, device: torch.device) -> Batches:
        """See `Batched`; the whole set goes to the device at once."""
        return Batches(self.to(device), order)

    def plain(self) -> "ImageSet":
        """The same images, none of them augmented, which in memory none is."""
        return self

    def subset(self, indices: Tensor | Sequence[int]) -> "ImageSet":
        """The images of these indices, in their order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
