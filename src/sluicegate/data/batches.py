"""Batches of an image set in memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sluicegate.data.order import Order

if TYPE_CHECKING:
    from sluicegate.data.images import ImageSet


class Batches:
    """Iterates over (images uint8 [n, C, H, W], labels int64 [n]) on the set's device; `ImageSet.batches` makes it.

    Args:
        image_set: the images.
        order: which images come when, and which of them to this process.
    """

    def __init__(self, image_set: "ImageSet", order: Order) -> None:
        self.image_set, self.order = image_set, order

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.order.epoch = epoch

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.image_set.images, self.image_set.labels
        for rows in self.order:
            chosen = torch.from_numpy(rows).to(images.device)
            yield images[chosen], labels[chosen]
