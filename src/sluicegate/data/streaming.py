"""Image sets that are larger than memory: decoded by worker processes while others are trained on.

What an image looks like follows from the seed, the epoch and its place in the set alone. So an epoch is the same with
any number of workers, on one process and on many, and after a run was cut off.

Shapes: N images of the set, n of a batch, C channels, h x w pixels.
"""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sluicegate.data.batched import Batched
from sluicegate.data.draws import Augment
from sluicegate.data.layouts import Listing
from sluicegate.data.order import Order
from sluicegate.data.pixels import fit, read_pixels
from sluicegate.data.spec import DataSpec
from sluicegate.errors import InputError, RunError, SluicegateError, one_line
from sluicegate_runtime.preprocess import with_channels

T = TypeVar("T")
Ticket = tuple[int, np.ndarray]
"""Epoch, and the indices [n] of one batch."""


class Decoded(Batched["StreamedBatches"]):
    """A set whose images are decoded batch by batch.

    Attributes:
        workers: processes that decode; 0: this one does.
    """

    workers: int

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the images are from, for errors."""

    @abstractmethod
    def decode(self, rows: np.ndarray, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [n, C, h, w] and labels int64 of these rows [n]; what is drawn for one depends on its row and on
        `seed` alone: the run's, and the epoch."""

    def in_order(self, order: Order, device: torch.device) -> "StreamedBatches":
        """See `Batched`."""
        return StreamedBatches(self, order, device)


@dataclass(frozen=True, eq=False)
class StreamedSet(Decoded):
    """Labelled images that are decoded when they are wanted; `stream` finds one.

    Attributes:
        listing: the images, still encoded, and their labels.
        size: h and w.
        classes, mean, std: see `ImageSet`.
        workers: processes that decode; 0: this one does.
        augment: what is drawn for each image; None: the largest centred square, resized.

    Raises:
        InputError: a size or a number of workers that cannot be, or labels that are not of a class.
    """

    listing: Listing
    size: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    workers: int = 2
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"size: {self.size} must be 1 or more")
        if self.workers < 0:
            raise InputError(f"workers: {self.workers} must be 0 or more")
        low, high = int(self.listing.labels.min()), int(self.listing.labels.max())
        if low < 0 or high >= len(self.classes):
            raise InputError(f"labels: {low}..{high} must lie in 0..{len(self.classes) - 1}, by class")
        DataSpec(self.shape, self.classes, self.mean, self.std)  # refuses what does not fit

    def __len__(self) -> int:
        return len(self.listing.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, h and w of an image."""
        return len(self.mean), self.size, self.size

    @property
    def spec(self) -> DataSpec:
        """The set without its images."""
        return DataSpec(self.shape, self.classes, self.mean, self.std)

    @property
    def place(self) -> str:
        """Where the images are from."""
        return self.listing.place

    def decode(self, rows: np.ndarray, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """See `Decoded`."""
        pixels = np.stack([self._image(int(row), seed) for row in rows])
        return pixels, self.listing.labels[rows].astype(np.int64)

    def _image(self, row: int, seed: tuple[int, int]) -> np.ndarray:
        read = with_channels(read_pixels(self.listing.images[row], self.place), self.shape[0])
        if self.augment is None:
            fitted = fit(read, (self.size, self.size))
        else:
            fitted = self.augment(read, self.size, np.random.default_rng((*seed, row)))
        return fitted.transpose(2, 0, 1)

    def plain(self) -> "StreamedSet":
        """The same images, none of them augmented."""
        return replace(self, augment=None)

    def subset(self, indices: Tensor | Sequence[int]) -> "StreamedSet":
        """The images of these indices, in their order."""
        return replace(self, listing=self.listing.take(np.asarray(indices, np.int64)))


class StreamedBatches:
    """Iterates over (images uint8 [n, C, h, w], labels int64 [n]) on a device, as `Batches` does; of scenes the labels
    are masks [n, h, w].

    Workers are started with the first batch and kept from epoch to epoch.

    Args:
        images: the set.
        order: which images come when, and which of them to this process.
        device: where batches go.

    Raises:
        RunError: while iterating: an image cannot be read, or a worker died.
    """

    def __init__(self, images: Decoded, order: Order, device: torch.device) -> None:
        self.images, self.order, self.device = images, order, device
        self._idle: list[DataLoader[Any]] = []

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the next iteration."""
        self.order.epoch = epoch

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        loader = self._idle.pop() if self._idle else self._loader()  # one that is in use would begin anew
        for step, found in enumerate(_until_a_worker_dies(loader), 1):
            if isinstance(found, SluicegateError):
                raise found
            if step == len(self):
                self._idle.append(loader)  # now, because nothing may be requested after the last batch
            images, labels = found
            yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _loader(self) -> DataLoader[Any]:
        workers = self.images.workers
        with _any_number_of_workers():
            return DataLoader(
                _Decoder(self.images, self.order.seed),
                sampler=_Tickets(self.order),
                batch_size=None,  # a ticket is a batch
                collate_fn=_as_it_is,
                num_workers=workers,
                persistent_workers=workers > 0,
                worker_init_fn=_hush,
                pin_memory=self.device.type == "cuda",
                generator=torch.Generator(),  # otherwise it would use the generator of the training
            )


@contextmanager
def worker_errors() -> Iterator[None]:
    """One line in place of torch's words on a worker that died, which it may say at any moment, in any place.

    Raises:
        RunError: a worker died in the block.
    """
    try:
        yield
    except SluicegateError:
        raise
    except RuntimeError as error:
        if not any(word in str(error) for word in ("DataLoader worker", "Pin memory thread")):
            raise
        hint = "did memory, or shared memory (/dev/shm), run out? fewer data.workers, or smaller batches, need less"
        raise RunError(f"data: a process that decodes images died ({one_line(error, limit=160)}); {hint}") from error


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """Without torch's warning of more of them than cores: the caller chose how many."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


def _until_a_worker_dies(loader: DataLoader[Any]) -> Iterator[Any]:
    """What the workers made; if it is not asked for to its end, or cannot be had, they are stopped."""
    batches = None
    try:
        with _any_number_of_workers():
            batches = iter(loader)
        for _ in range(len(loader) - 1):
            yield _next(batches)
        last = _next(batches)
        _next(batches)  # there is none: so the workers are free before the last batch is handed out
        batches = None
        yield last
    except OSError as error:
        raise RunError(f"data: {loader.num_workers} workers cannot be started: {one_line(error)}") from error
    finally:
        with suppress(RuntimeError, OSError):  # said already
            getattr(batches, "_shutdown_workers", lambda: None)()


def _next(batches: Iterator[Any]) -> Any:
    with worker_errors():
        try:
            return next(batches, None)
        except (OSError, EOFError) as error:  # raised when a worker that has died is read
            raise RuntimeError(f"DataLoader worker: {one_line(error)}") from error


class _Tickets(Sampler[Ticket]):
    """What is to be decoded, batch by batch; the epoch goes with it, since workers outlive it."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Ticket]:
        epoch = self.order.epoch
        for rows in self.order:
            yield epoch, rows


class _Decoder(Dataset[Any]):
    """Ticket -> images [n, C, h, w] and their labels, or what went wrong: raised, it would arrive with a traceback."""

    def __init__(self, images: Decoded, seed: int) -> None:
        self.images, self.seed = images, seed

    def __getitem__(self, ticket: Ticket) -> tuple[Tensor, Tensor] | SluicegateError:
        epoch, rows = ticket
        try:
            pixels, labels = self.images.decode(rows, (self.seed, epoch))
        except SluicegateError as error:
            return type(error)(str(error))  # without its traceback, which would hold the images
        except MemoryError:
            return RunError(f"data: no memory to decode {len(rows)} images of {self.images.place}")
        return torch.from_numpy(pixels), torch.from_numpy(labels)


def _as_it_is(found: T) -> T:
    return found


def _hush(worker: int) -> None:
    """Of a worker: no warnings on odd notes of a camera, which nobody asked for."""
    warnings.filterwarnings("ignore", module="PIL")
