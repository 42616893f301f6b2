"""Sets of images with masks: the same numbers from memory and from workers, on one process and on several."""

import numpy as np
import pytest
import torch
from PIL import Image
from scene_folders import camvid_like, colour

from sluicegate.data import SceneAugment, load_scenes, scenes_folder
from sluicegate.errors import InputError, RunError

AUGMENT = SceneAugment((16, 16), (0.5, 2.0), flip=True)


@pytest.fixture
def folder(tmp_path):
    return camvid_like(tmp_path / "streets")


def epoch(images, number=0, **options):
    batches = images.batches(4, shuffle=True, seed=3, **options)
    batches.set_epoch(number)
    return list(batches)


def same(ours, theirs):
    return all(
        torch.equal(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_whole_scenes_come_as_they_are(folder):
    images = load_scenes(folder, "test")
    ((pixels, masks),) = images.batches(4)
    assert (pixels.dtype, masks.dtype) == (torch.uint8, torch.int64)
    assert images.shape == (3, 24, 32) == tuple(pixels.shape[1:]) and masks.shape == (4, 24, 32)
    assert np.array_equal(pixels[2].permute(1, 2, 0).numpy(), colour(masks[2].numpy()))


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_and_workers_give_the_same(folder, workers):
    held = load_scenes(folder, "train", augment=AUGMENT)
    streamed = load_scenes(folder, "train", workers=workers, augment=AUGMENT)
    assert held.pairs is not None and streamed.pairs is None
    assert same(epoch(held, 1), epoch(streamed, 1))
    assert not same(epoch(held, 1), epoch(held, 2))


def test_processes_share_the_batch_of_one(folder):
    images = load_scenes(folder, "train", augment=AUGMENT)
    whole = epoch(images)
    parts = [epoch(images, rank=rank, world=2) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for rank, part in enumerate(parts):
            assert same([part[step]], [[side[rank::2] for side in batch]])


def test_plain_scenes_are_the_middle_of_the_same_size(folder):
    images = load_scenes(folder, "train", augment=AUGMENT)
    plain = images.plain()
    assert plain.shape == images.shape == (3, 16, 16)
    (_, whole), (_, middle) = (next(iter(one.batches(8))) for one in (load_scenes(folder, "train"), plain))
    assert torch.equal(middle, whole[:, 4:20, 8:24])


def test_the_shorter_side_is_resized(folder):
    images = load_scenes(folder, "test", size=12)
    assert images.shape == (3, 12, 16)
    assert next(iter(images.batches(4)))[1].shape == (4, 12, 16)


def test_limits_and_subsets_keep_pairs_together(folder):
    images = load_scenes(folder, "train", limit=4)
    assert [file.stem for file in images.scenes.images] == ["0", "2", "4", "6"]
    some = images.subset(torch.tensor([3, 0]))
    (pixels, masks), (all_pixels, all_masks) = (next(iter(one.batches(len(one)))) for one in (some, images))
    assert torch.equal(pixels, all_pixels[[3, 0]]) and torch.equal(masks, all_masks[[3, 0]])
    assert len(load_scenes(folder, "train", limit=100)) == 8


@pytest.mark.parametrize("workers", [0, 1])
def test_a_strange_class_is_found_where_it_is_read(folder, workers):
    Image.fromarray(np.full((24, 32), 77, np.uint8)).save(folder / "trainannot" / "6.png")
    with pytest.raises(RunError, match=r"mask .*6\.png holds class index 77"):
        load_scenes(folder, "train")
    with pytest.raises(RunError, match=r"mask .*6\.png holds class index 77"):
        epoch(load_scenes(folder, "train", workers=workers))


def test_it_is_looked_for_where_other_sets_are(folder, monkeypatch, tmp_path):
    assert scenes_folder("streets", tmp_path) == folder == scenes_folder("any", folder)
    monkeypatch.setenv("SLUICEGATE_DATA", str(tmp_path))
    assert scenes_folder("streets") == folder and scenes_folder("digits") is None
    with pytest.raises(InputError, match="workers: -1"):
        load_scenes(folder, "train", workers=-1)


def test_camvid_itself(data_root):
    images = load_scenes(data_root / "camvid", "test", workers=0)
    assert len(images) == 233 and images.shape == (3, 360, 480) and len(images.classes) == 11
