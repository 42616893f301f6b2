"""In which order images come, in which batches, and which of them fall to which process."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sluicegate.errors import InputError


@dataclass
class Order:
    """Iterates over the indices int64 [n] of each batch that this process takes; `epoch` chooses the order.

    Attributes:
        length: how many images there are.
        epoch: which order it is.
        batch_size, shuffle, seed, drop_last, rank, world: see `Batched.batches`, which says what is refused, too.
    """

    length: int
    batch_size: int
    shuffle: bool = False
    seed: int = 0
    drop_last: bool = False
    rank: int = 0
    world: int = 1
    epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size: {self.batch_size} must be 1 or more")
        if self.batch_size % self.world:
            raise InputError(f"batch_size: {self.batch_size} must be a multiple of the {self.world} processes")
        if not 0 <= self.rank < self.world:
            raise InputError(f"rank: {self.rank} must lie in 0..{self.world - 1}")
        rest = self.length % self.batch_size
        if self.drop_last and rest == self.length:
            raise InputError(f"batch_size: {self.batch_size} must be at most the number of images, {rest}")
        if not self.drop_last and 0 < rest < self.world:
            raise InputError(f"batch_size: {self.batch_size} leaves a last batch of {rest} for {self.world} processes")

    def __len__(self) -> int:
        full, rest = divmod(self.length, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for begin in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[begin : begin + self.batch_size][self.rank :: self.world]
