"""Releasing a run: the folder loads alone, the card says what was measured, nothing tells where things lay."""

import numpy as np
import pytest
import torch

import sluicegate as sg
from sluicegate.models.release import gate_statistics, release, without_folders
from sluicegate.recipes import recipe
from sluicegate.train import load_run, override, read_run_recipe, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(override(recipe("dlcg-resnet8-digits-middle"), ["epochs=1", "data.limit_train=200"]), folder, progress=False)
    return folder


@pytest.mark.broad
def test_a_released_run_loads_and_its_card_tells_of_gates(finished, tmp_path):
    folder = release(finished, tmp_path / "models" / "some-digits", "MIT")
    card = (folder / "README.md").read_text()
    assert (
        card.startswith("# some-digits\n") and "Licence: MIT." in card and 'sg.load_pretrained("some-digits")' in card
    )
    for site in load_run(finished)[1].sites:  # type: ignore[union-attr]
        assert f"| {site} |" in card
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(sg.load_pretrained(str(folder))(images), load_run(finished)[1](images))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "data.json", "final.safetensors", "recipe.yaml", "result.json"
    ]  # fmt: skip
    assert str(finished) not in "".join(path.read_text() for path in folder.glob("*.[jym]*"))
    assert read_run_recipe(folder).method == read_run_recipe(finished).method


def test_what_cannot_be_released_is_refused(finished, tmp_path):
    with pytest.raises(sg.InputError, match="exists already"):
        release(finished, tmp_path, "MIT")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "recipe.yaml").write_text((finished / "recipe.yaml").read_text())
    with pytest.raises(sg.InputError, match="not the result of a finished run"):
        release(unfinished, tmp_path / "out", "MIT")
    with pytest.raises(sg.InputError, match="is not a run folder"):
        release(tmp_path / "nowhere", tmp_path / "out", "MIT")
    assert not (tmp_path / "out").exists()


def test_gates_are_told_apart():
    images = np.arange(200)[:, None]
    opened = np.hstack([images >= 0, images < 0, images == 7, images >= 2, images < 100])
    found = gate_statistics(opened)
    assert (found.gates, found.always_open, found.always_closed) == (5, pytest.approx(0.4), pytest.approx(0.4))
    assert found.conditional == pytest.approx(0.2) and found.open_rate == pytest.approx((1 + 0.005 + 0.99 + 0.5) / 5)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sluicegate train x --out /a/b-c/run", "sluicegate train x --out run"),
        ("sluicegate train x net.weights=/data/w.st epochs=1/2", "sluicegate train x net.weights=w.st epochs=1/2"),
        ("sluicegate train x --data '/my data/a set' --out=/a/b", "sluicegate train x --data 'a set' --out=b"),
    ],
)
def test_commands_tell_no_folders(command, told):
    assert without_folders(command) == told
