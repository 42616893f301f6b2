"""Streamed sets: the same images as in memory, and the same draws however many processes decode them."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sluicegate.data import Augment, StreamedSet, load, stream, worker_errors
from sluicegate.errors import InputError, RunError

DRAWS = Augment(crop_scale=(0.3, 1.0))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen pictures of three classes, of many sizes, some grey, one turned by its EXIF notes."""
    folder, rng = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for split in ("train", "val"):
        for number in range(13):
            path = folder / split / ("ant", "bee", "cat")[number % 3] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = rng.integers(20, 40, 2)
            colours = rng.integers(0, 256, (height, width, 3), np.uint8)
            picture = Image.fromarray(colours[:, :, 0] if number % 4 == 0 else colours)
            picture.save(path, exif=turned if number == 5 else Image.Exif())
    return folder


def streamed(pets: Path, split: str = "train", **options) -> StreamedSet:
    return stream("pets", split, pets, **{"size": 16, "workers": 0, **options})


def epoch(images: StreamedSet, number: int = 0, **options) -> list[tuple[Tensor, Tensor]]:
    batches = images.batches(4, **{"shuffle": True, "seed": 3, **options})
    batches.set_epoch(number)
    found = list(batches)
    assert len(found) == len(batches)
    return found


def assert_equal(ours: list[tuple[Tensor, Tensor]], theirs: list[tuple[Tensor, Tensor]]) -> None:
    assert len(ours) == len(theirs)
    for (images, labels), (other_images, other_labels) in zip(ours, theirs, strict=True):
        assert torch.equal(images, other_images) and torch.equal(labels, other_labels)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_streamed_is_what_memory_holds(split: str, workers: int, pets: Path) -> None:
    held, flowing = load("pets", split, pets, size=16), streamed(pets, split, workers=workers)
    assert flowing.spec == held.spec and len(flowing) == len(held)
    assert_equal(epoch(flowing, 5), epoch_of_memory(held, 5))
    decoded = flowing.batches(4).images
    assert isinstance(decoded, StreamedSet) and decoded.augment is None


def epoch_of_memory(images, number: int) -> list[tuple[Tensor, Tensor]]:
    batches = images.batches(4, shuffle=True, seed=3)
    batches.set_epoch(number)
    return list(batches)


def test_draws_are_the_same_with_any_number_of_workers(pets: Path) -> None:
    alone = epoch(streamed(pets, augment=DRAWS), 1)
    for workers in (1, 3):
        assert_equal(epoch(streamed(pets, augment=DRAWS, workers=workers), 1), alone)


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_see_what_one_sees(world: int, pets: Path) -> None:
    images = streamed(pets, augment=DRAWS)
    whole = epoch(images, 2, drop_last=True)
    for rank in range(world):
        share = epoch(images, 2, drop_last=True, rank=rank, world=world)
        assert_equal(share, [(pixels[rank::world], labels[rank::world]) for pixels, labels in whole])


def test_every_epoch_is_drawn_anew_by_the_workers_of_the_first(pets: Path) -> None:
    batches = streamed(pets, augment=DRAWS, workers=2).batches(4, shuffle=True, seed=3)
    found, workers = [], []
    for number in (0, 1, 0):
        batches.set_epoch(number)
        found.append(list(batches))
        workers.append({child.pid for child in multiprocessing.active_children()})
    assert_equal(found[0], found[2])
    assert not torch.equal(found[0][0][0], found[1][0][0])
    assert workers[0] == workers[1] == workers[2] and len(workers[0]) >= 2


def test_who_takes_every_batch_but_does_not_ask_further_keeps_the_workers(pets: Path) -> None:
    batches = streamed(pets, workers=1).batches(4)
    known = set()
    for _ in range(3):
        under_way = iter(batches)
        for _ in range(len(batches)):
            next(under_way)
        known.add(frozenset(child.pid for child in multiprocessing.active_children()))
    assert len(known) == 1


def test_who_stops_early_leaves_no_worker_behind(pets: Path) -> None:
    before = len(multiprocessing.active_children())
    for _ in streamed(pets, workers=2).batches(4):
        break
    assert len(multiprocessing.active_children()) == before


def test_an_epoch_may_be_begun_within_another(pets: Path) -> None:
    batches = streamed(pets, augment=DRAWS, workers=1).batches(4)
    outer = iter(batches)
    first = next(outer)
    inner = list(batches)
    assert_equal(inner, [first, *outer])


def test_streaming_leaves_the_generator_of_the_training_alone(pets: Path) -> None:
    for workers in (0, 1):
        torch.manual_seed(5)
        epoch(streamed(pets, augment=DRAWS, workers=workers))
        assert torch.initial_seed() == 5 and torch.equal(torch.rand(3), expected())


def expected() -> Tensor:
    return torch.rand(3, generator=torch.Generator().manual_seed(5))


def test_a_set_may_be_cut_and_left_plain(pets: Path) -> None:
    images = streamed(pets, augment=DRAWS)
    part = images.subset(torch.tensor([7, 0])).plain()
    ((pixels, labels),) = part.batches(2)
    held = load("pets", "train", pets, size=16)
    assert torch.equal(pixels, held.images[[7, 0]]) and torch.equal(labels, held.labels[[7, 0]])
    assert len(streamed(pets, limit=5)) == 5


def test_a_bad_image_ends_it_in_one_line(pets: Path, tmp_path: Path) -> None:
    shutil.copytree(pets, tmp_path / "pets")
    images = {workers: streamed(tmp_path / "pets", workers=workers) for workers in (0, 2)}
    (tmp_path / "pets" / "train" / "bee" / "4.jpg").write_bytes(b"\xff\xd8\xff cut off")
    for flowing in images.values():
        with pytest.raises(RunError, match=r"^data: .*bee/4\.jpg is not a readable image") as failure:
            epoch(flowing)
        assert "\n" not in str(failure.value)
    shutil.rmtree(tmp_path / "pets")
    for flowing in images.values():
        with pytest.raises(RunError, match=r"^data: .*\.jpg cannot be read: No such file or directory$"):
            epoch(flowing)


def test_a_worker_that_dies_ends_it_in_one_line(pets: Path) -> None:
    before = {child.pid for child in multiprocessing.active_children()}
    batches = streamed(pets, workers=2).batches(1)
    message = r"^data: a process that decodes images died \(.*\); did memory"
    with pytest.raises(RunError, match=message) as failure, worker_errors():  # torch may say it between two batches
        for step, _ in enumerate(batches):
            ours = [child.pid for child in multiprocessing.active_children() if child.pid not in before]
            if step == 0:
                os.kill(next(pid for pid in ours if pid is not None), signal.SIGKILL)
    assert "\n" not in str(failure.value)


def test_other_errors_are_left_as_they_are() -> None:
    for error in (RuntimeError("of the training"), RunError("data: gone"), ValueError("DataLoader worker")):
        with pytest.raises(type(error), match=str(error)), worker_errors():
            raise error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": None}, "size: None, but images of pets that are streamed must all be resized to one"),
        ({"size": 0}, "size: 0 must be 1 or more"),
        ({"workers": -1}, "workers: -1 must be 0 or more"),
        ({"limit": 0}, "limit: 0 must be 1 or more"),
    ],
)
def test_a_set_that_cannot_be_streamed_is_refused(options: dict, message: str, pets: Path) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        streamed(pets, **options)


def test_known_sets_are_streamed_too() -> None:
    ((pixels, labels),) = stream("digits", "test", limit=10, workers=0).batches(10)
    held = load("digits", "test", limit=10)
    assert torch.equal(pixels, held.images) and torch.equal(labels, held.labels)


@pytest.mark.broad
@pytest.mark.data
def test_imagenette_is_streamed_as_it_is_held(data_root: Path) -> None:
    options = {"data_dir": data_root, "limit": 60, "size": 96}
    held, flowing = load("imagenette160", "train", **options), stream("imagenette160", "train", workers=2, **options)
    assert flowing.spec == held.spec
    assert_equal(epoch(flowing, 1), epoch_of_memory(held, 1))
    drawn = [epoch(stream("imagenette160", "train", workers=n, augment=DRAWS, **options), 1) for n in (0, 2)]
    assert_equal(*drawn)
