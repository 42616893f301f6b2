"""Released networks: found, loaded, and no way for one from elsewhere to choose what runs here."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch

import sluicegate as sg
from sluicegate.data import Normalize, load
from sluicegate.models import find_pretrained, released
from sluicegate.train import read_result, read_run_spec


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Path:
    """What the hub gives: a folder, here a copy of a released network."""
    shutil.copytree(find_pretrained("resnet8-digits"), tmp_path / "given")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: str(tmp_path / "given"))
    return tmp_path / "given"


@pytest.mark.parametrize("name", released())
def test_every_released_network_loads_and_has_a_card(name: str) -> None:
    net, spec = sg.load_pretrained(name), read_run_spec(find_pretrained(name))
    assert net(torch.zeros(2, *spec.shape)).shape == (2, len(spec.classes)) and not net.training
    card = (find_pretrained(name) / "README.md").read_text()
    assert f"{read_result(find_pretrained(name)).accuracy:.2%}" in card and "Licence: " in card
    assert not any("/" in word and Path(word).is_absolute() for word in card.split())


def test_its_accuracy_is_what_its_card_says() -> None:
    test = load("digits", "test")
    net, spec = sg.load_pretrained("resnet8-digits"), read_run_spec(find_pretrained("resnet8-digits"))
    with torch.no_grad():
        right = net(Normalize(spec.mean, spec.std)(test.images)).argmax(1) == test.labels
    assert right.double().mean().item() == pytest.approx(read_result(find_pretrained("resnet8-digits")).accuracy)


def test_from_a_folder_or_the_hub(hub: Path) -> None:
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(sg.load_pretrained(str(hub))(images), sg.load_pretrained("resnet8-digits")(images))
    torch.testing.assert_close(sg.load_pretrained("someone/digits")(images), sg.load_pretrained(str(hub))(images))


@pytest.mark.parametrize("net", ["os:system", "subprocess:run"])
def test_one_of_the_hub_may_not_run_other_code(net: str, hub: Path) -> None:
    recipe = hub / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("name: resnet8\n", f"name: {net}\n"))
    with pytest.raises(sg.InputError, match=f"needs code of '{net.split(':')[0]}'"):
        sg.load_pretrained("someone/digits")


def test_what_is_not_there_is_named(monkeypatch) -> None:
    with pytest.raises(sg.InputError, match=r"'resnet9' is none of .*resnet8-digits.*, no folder, and no OWNER/NAME"):
        sg.load_pretrained("resnet9")

    def offline(name: str, **options: object) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(sg.InputError, match=r"the hub has no 'someone/digits', .*no route"):
        sg.load_pretrained("someone/digits")
