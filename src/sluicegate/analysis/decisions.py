"""What many gates decided for many images, one bit each: 50,000 images and 5,000 gates take 31 MB.

Legend: N images, G gates, K groups of images.
"""

from collections.abc import Iterator

import numpy as np

from sluicegate.errors import InputError

_CHUNK = 1024  # rows that are unpacked at a time
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)  # bits set in a byte


class Decisions:
    """A table of booleans, [N, G], that grows by rows and is kept packed.

    Args:
        gates: G.

        decisions = Decisions(336)
        decisions.append(rows)  # [n, 336] bool
        decisions.opened_by_gate()  # [336]
    """

    def __init__(self, gates: int) -> None:
        self.gates = gates
        self._parts: list[np.ndarray] = []

    def append(self, rows: np.ndarray) -> None:
        """Add images, [n, G] bool. InputError if they are of another number of gates."""
        if rows.ndim != 2 or rows.shape[1] != self.gates:
            raise InputError(f"rows: shape {rows.shape} is not (n, {self.gates})")
        self._parts.append(np.packbits(rows, axis=1))

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def packed(self) -> np.ndarray:
        """[N, ceil(G / 8)] uint8, the first gate in the highest bit."""
        if len(self._parts) != 1:
            width = (self.gates + 7) // 8
            self._parts = [np.concatenate([np.empty((0, width), np.uint8), *self._parts])]
        return self._parts[0]

    def rows(self, chosen: np.ndarray | slice) -> np.ndarray:
        """The decisions for some images, [n, G] bool."""
        return np.unpackbits(self.packed[chosen], axis=1, count=self.gates).view(bool)

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All images, some at a time: which, and their rows."""
        for first in range(0, len(self), _CHUNK):
            which = slice(first, first + _CHUNK)
            yield which, self.rows(which)

    def opened_by_gate(self) -> np.ndarray:
        """[G] int64: for how many images each gate is open."""
        total = np.zeros(self.gates, np.int64)
        for _, rows in self.chunks():
            total += rows.sum(0)
        return total

    def opened_by_image(self) -> np.ndarray:
        """[N] int64: how many gates are open for each image."""
        return _ONES[self.packed].sum(1, dtype=np.int64)

    def opened_by_group(self, groups: np.ndarray, count: int) -> np.ndarray:
        """[K, G] int64: for how many images of each group a gate is open.

        Args:
            groups: [N], the group of each image, in 0..K-1.
            count: K.
        """
        total = np.zeros((count, self.gates), np.int64)
        for which, rows in self.chunks():
            order = np.argsort(groups[which], kind="stable")
            present, starts = np.unique(groups[which][order], return_index=True)
            total[present] += np.add.reduceat(rows[order].astype(np.int32), starts, axis=0)
        return total

    def always_agree(self, chosen: np.ndarray) -> list[list[int]]:
        """Groups of two or more gates that decide alike for every image.

        Args:
            chosen: the gates that are compared, [g] int; their numbers are in the result.
        """
        keys = np.zeros(len(chosen), np.uint64)  # the sum of random numbers of the images that open a gate
        random = np.random.default_rng(0).integers(1, 1 << 63, len(self), dtype=np.uint64)
        for which, rows in self.chunks():
            keys += (rows[:, chosen] * random[which, None]).sum(0, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        runs = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(order) else []
        return sorted(sorted(chosen[run].tolist()) for run in runs if len(run) > 1)
