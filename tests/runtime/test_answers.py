"""What a program that classifies pixels says of image files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conformance.generate import Builder

from sluicegate_runtime import InputError, Preprocessing, Session, predict, save_program
from sluicegate_runtime.__main__ import main

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 12))
    made = b.program(x, b.conv(x, 3))
    save_program(
        tmp_path / "m.sluice", replace(made, preprocessing=Preprocessing(), classes=("a", "b", "c")), b.tensors
    )
    return tmp_path / "m.sluice"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_the_mask_is_the_likeliest_class_of_each_pixel(model: Path, image: Path, tmp_path: Path) -> None:
    session = Session(model)
    (found,) = predict(session, [image], masks=tmp_path / "masks")
    pixels = np.asarray(Image.open(image)).transpose(2, 0, 1)[None] / np.float32(255)
    expected = session.run(pixels).output[0].argmax(0)
    assert found["mask"] == str(tmp_path / "masks" / "x.png")
    assert np.array_equal(np.asarray(Image.open(found["mask"])), expected)
    shares = {name: float((expected == n).mean()) for n, name in enumerate("abc")}
    assert found["classes"] == pytest.approx({name: share for name, share in shares.items() if share}, abs=1e-6)
    assert list(found["classes"].values()) == sorted(found["classes"].values(), reverse=True)


def test_the_command_writes_masks_into_the_folder_that_is_named(
    model: Path, image: Path, tmp_path: Path, capsys
) -> None:
    assert main(["predict", str(model), str(image), "--masks", str(tmp_path / "here")]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line.keys() == {"file", "mask", "classes", "macs", "ms", "open_rate"} and Path(line["mask"]).is_file()


def test_no_mask_takes_the_place_of_an_image_or_of_another_mask(model: Path, image: Path, tmp_path: Path) -> None:
    before = image.read_bytes()
    with pytest.raises(InputError, match=r"x\.png would be overwritten by its mask; choose another --masks"):
        list(predict(Session(model), [image], masks=tmp_path))
    assert image.read_bytes() == before
    other = tmp_path / "other" / "x.png"
    other.parent.mkdir()
    other.write_bytes(before)
    refused: list[InputError] = []
    found = list(predict(Session(model), [image, other], on_refusal=refused.append, masks=tmp_path / "masks"))
    assert [line["file"] for line in found] == [str(image)]
    assert "has the name of" in str(refused[0]) and "\n" not in str(refused[0])
