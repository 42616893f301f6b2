"""In which order images come, in which batches, and which of them fall to which process."""

from collections.abc import Iterator

import numpy as np

from sluicegate.errors import InputError


class Order:
    """Iterates over the indices int64 [n] of each batch that this process takes; `epoch` chooses the order.

    Args:
        length: how many images there are.
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
        length: int,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size: {batch_size} must be 1 or more")
        if batch_size % world:
            raise InputError(f"batch_size: {batch_size} must be a multiple of the {world} processes")
        if not 0 <= rank < world:
            raise InputError(f"rank: {rank} must lie in 0..{world - 1}")
        rest = length % batch_size
        if drop_last and rest == length:
            raise InputError(f"batch_size: {batch_size} must be at most the number of images, {rest}")
        if not drop_last and 0 < rest < world:
            raise InputError(f"batch_size: {batch_size} leaves a last batch of {rest} for {world} processes")
        self.length, self.batch_size = length, batch_size
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.rank, self.world = rank, world
        self.epoch = 0

    def __len__(self) -> int:
        full, rest = divmod(self.length, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for begin in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[begin : begin + self.batch_size][self.rank :: self.world]
