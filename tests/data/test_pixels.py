"""Training reads and fits image files exactly as prediction does."""

import numpy as np
import pytest
from PIL import Image

from sluicegate.data.layouts import decode, read_listing
from sluicegate.data.pixels import channels_of, fit, pixels
from sluicegate.errors import RunError
from sluicegate_runtime.images import read_image
from sluicegate_runtime.preprocess import fitted_to, with_channels

RNG = np.random.default_rng(0)


def test_fitting_is_that_of_prediction_to_the_bit() -> None:
    for _ in range(300):
        (height, width), size = RNG.integers(1, 200, 2), RNG.integers(1, 80, 2).tolist()
        image = RNG.integers(0, 256, (height, width, int(RNG.choice([1, 3]))), dtype=np.uint8)
        assert np.array_equal(fit(image, size), fitted_to(image, size, 1.0)), (image.shape, size)


def saved(folder, name, image, **options):
    path = folder / "train" / "one" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("kind", ["turned.jpg", "grey16.png", "grey16.tif", "palette.gif", "cmyk.jpg", "alpha.png"])
def test_training_sees_what_prediction_sees(kind, tmp_path) -> None:
    colour = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    options = {"exif": turned} if kind == "turned.jpg" else {}
    image = {
        "turned.jpg": colour,
        "grey16.png": Image.fromarray(RNG.integers(0, 1 << 16, (40, 50), dtype=np.uint16)),
        "grey16.tif": Image.fromarray(RNG.integers(0, 1 << 16, (40, 50), dtype=np.uint16)),
        "palette.gif": colour.quantize(16),
        "cmyk.jpg": colour.convert("CMYK"),
        "alpha.png": colour.convert("RGBA"),
    }[kind]
    path = saved(tmp_path, kind, image, **options)
    listing = read_listing(tmp_path, "train")
    for size in (None, 24):
        (trained,) = decode(listing, size)
        predicted = read_image(path)
        predicted = predicted if size is None else fitted_to(predicted, (size, size), 1.0)
        assert np.array_equal(trained.transpose(1, 2, 0), predicted)


def test_channels_are_those_that_are_asked_for() -> None:
    grey, colour = RNG.integers(0, 256, (5, 6, 1), np.uint8), RNG.integers(0, 256, (5, 6, 3), np.uint8)
    assert np.array_equal(pixels(grey[:, :, 0], None, 3, "here"), np.repeat(grey, 3, 2).transpose(2, 0, 1))
    wanted = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(with_channels(colour, 1)[:, :, 0], wanted)


def test_one_image_in_colour_makes_a_set_of_colour(tmp_path) -> None:
    grey, colour = (saved(tmp_path, f"{mode}.png", Image.new(mode, (3, 3))) for mode in ("L", "RGB"))
    assert channels_of([grey, grey]) == 1
    assert channels_of([grey, colour]) == channels_of([colour.read_bytes(), grey]) == 3


def test_a_vanished_file_and_a_damaged_one_are_named(tmp_path) -> None:
    with pytest.raises(RunError, match=r"^data: .*gone\.png cannot be read: No such file or directory$"):
        pixels(tmp_path / "gone.png", None, 3, "here")
    with pytest.raises(RunError, match=r"^data: an image of here is not a readable image"):
        pixels(b"nothing", None, 3, "here")
