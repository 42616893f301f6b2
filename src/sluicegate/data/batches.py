"""Batches of an image set in memory, alike on one process and on many."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sluicegate.data.order import Order

if TYPE_CHECKING:
    from sluicegate.data.images import ImageSet


class Batches:
    """Iterates over (images uint8 [n, C, H, W], labels int64 [n]) on the set's device.

    Args:
        image_set: the images.
        batch_size: images of one step on all processes together; a multiple of `world`.
        shuffle: a new order in each epoch, drawn from (seed, epoch) alone.
        seed: of that order.
        drop_last: leave out a last batch that is not full.
        rank, world: this process takes rows [rank::world] of each batch.

    Raises:
        InputError: a process would get no row of some batch, or other than its equal share of a full one.
    """

    def __init__(
        self,
        image_set: "ImageSet",
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.image_set = image_set
        self.order = Order(len(image_set), batch_size, shuffle, seed, drop_last, rank, world)

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
