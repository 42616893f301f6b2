"""Images in memory, in sets and in folders give the same inputs."""

import numpy as np
import pytest
from conformance.builder import Builder
from PIL import Image

from sluicegate.analysis import FileSource, SetSource, find_images
from sluicegate.data import ImageSet, Normalize
from sluicegate.errors import InputError
from sluicegate_runtime import Preprocessing, Program

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


@pytest.fixture
def program():
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    program = b.program(x, b.linear(b.pooled(x), 2))
    return Program(
        **{
            **vars(program),
            "classes": ("cat", "dog"),
            "preprocessing": Preprocessing(resize=8, crop=8, mean=MEAN, std=STD),
        }
    )


@pytest.fixture
def pixels(tmp_path):
    """Five images in class folders, uint8 [5, 8, 8, 3]."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    for number, picture in enumerate(pixels):
        folder = tmp_path / "val" / ("cat" if number < 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    return pixels


def test_a_folder_of_classes_and_a_set_give_the_same(program, pixels, tmp_path):
    import torch

    found = find_images(tmp_path, program)
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    held = SetSource(ImageSet(images, torch.tensor([0, 0, 1, 1, 1]), ("cat", "dog"), MEAN, STD))
    for source in (found, held):
        assert len(source) == 5 and tuple(source.classes) == ("cat", "dog")
        batches = list(source.batches(2))
        inputs = np.concatenate([inputs for inputs, _ in batches])
        np.testing.assert_allclose(inputs, Normalize(MEAN, STD)(images).numpy(), atol=1e-6)
        assert np.concatenate([labels for _, labels in batches if labels is not None]).tolist() == [0, 0, 1, 1, 1]
        some, their_labels = source.take([4, 1])
        assert (some == inputs[[4, 1]]).all() and their_labels is not None
        assert their_labels.tolist() == [1, 0]


def test_a_folder_without_classes_has_no_labels(program, pixels, tmp_path):
    found = find_images(tmp_path / "val" / "dog", program, limit=2)
    assert found.labels is None and [file.stem for file in found.files] == ["2", "3"]
    assert next(found.batches(9))[1] is None


def test_a_limit_keeps_every_class(program, pixels, tmp_path):
    labels = find_images(tmp_path, program, limit=3).labels
    assert labels is not None and set(labels.tolist()) == {0, 1}


def test_folders_that_do_not_fit_are_refused(program, pixels, tmp_path):
    (tmp_path / "val" / "fox").mkdir()
    with pytest.raises(InputError, match="fox' is no class of the network"):
        find_images(tmp_path, program)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        find_images(tmp_path / "empty", program)
    with pytest.raises(InputError, match="cannot be read"):
        find_images(tmp_path / "nowhere", program)


def test_how_pixels_are_prepared_must_be_known(program, pixels, tmp_path):
    unknown = Program(**{**vars(program), "preprocessing": None})
    with pytest.raises(InputError, match="preprocessing"):
        find_images(tmp_path, unknown)
    assert isinstance(find_images(tmp_path, unknown, Preprocessing(mean=MEAN, std=STD)), FileSource)
