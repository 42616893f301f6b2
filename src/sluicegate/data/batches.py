"""Batches of an image set in memory, alike on one process and on many."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sluicegate.data.images import ImageSet
from sluicegate.errors import InputError


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
        image_set: ImageSet,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise InputError(f"batch_size: {batch_size} must be a multiple of the {world} processes")
        if not 0 <= rank < world:
            raise InputError(f"rank: {rank} must lie in 0..{world - 1}")
        rest = len(image_set) % batch_size
        if drop_last and rest == len(image_set):
            raise InputError(f"batch_size: {batch_size} must be at most the number of images, {rest}")
        if not drop_last and 0 < rest < world:
            raise InputError(f"batch_size: {batch_size} leaves a last batch of {rest} for {world} processes")
        self.image_set = image_set
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(len(self.image_set), self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.image_set.images, self.image_set.labels
        order = self._order().to(images.device)
        for batch in order.split(self.batch_size)[: len(self)]:
            rows = batch[self.rank :: self.world]
            yield images[rows], labels[rows]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.image_set))
        return torch.from_numpy(np.random.default_rng((self.seed, self.epoch)).permutation(len(self.image_set)))
