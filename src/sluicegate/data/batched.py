"""What every set of images can do: come in batches, alike on one process and on many."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch

from sluicegate.data.order import Order

Made = TypeVar("Made")


class Batched(ABC, Generic[Made]):
    """A set of images; `Made` iterates over its batches."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def in_order(self, order: Order, device: torch.device) -> Made:
        """The batches of this order, on a device."""

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> Made:
        """(images uint8 [n, C, h, w], labels int64 [n]) of each batch; of scenes the labels are masks [n, h, w].

        Args:
            batch_size: images of one step on all processes together; a multiple of `world`.
            shuffle: a new order in each epoch, drawn from (seed, epoch) alone.
            seed: of that order, and of the augmentation if there is one.
            drop_last: leave out a last batch that is not full.
            rank, world: this process takes rows [rank::world] of each batch.
            device: where batches go.

        Raises:
            InputError: a process would get no row of some batch, or other than its equal share of a full one.

        Example:
            >>> for images, labels in load("digits", "train").batches(64, shuffle=True):
            ...     loss = cross_entropy(net(normalize(images)), labels)
        """
        return self.in_order(Order(len(self), batch_size, shuffle, seed, drop_last, rank, world), torch.device(device))
