"""The verb `report`: of runs, of files, with and without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
from command_line import small_recipe
from commands import environment, only_line
from PIL import Image
from scene_folders import camvid_like

from sluicegate.cli import main
from sluicegate.data import load

SMALL = small_recipe("batch_shaping", epochs=2)

STREETS = """
name: streets
task: {name: segmentation}
data: {name: streets, batch_size: 2, augment: {crop: [16, 24]}}
net: {name: pspnet, options: {backbone: "small_resnet:SmallResNet"}}
method: {name: batch_shaping}
epochs: 1
accelerator: cpu
"""

WITHOUT_TORCH = """
import sys
for name in ("torch", "lightning", "torchmetrics", "pyarrow", "safetensors", "jsonargparse", "torchvision"):
    sys.modules[name] = None
import sluicegate_command
sys.exit(sluicegate_command.main())
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A run of two epochs, and digits as image files."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "small.yaml").write_text(SMALL)
    assert main(["train", str(folder / "small.yaml"), "--out", str(folder / "run"), "--json"]) == 0
    test = load("digits", "test", limit=20)
    for number, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        place = folder / "photos" / test.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(place / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)


def said(capsys, *arguments):
    assert main(["report", *arguments, "--json"]) == 0
    return json.loads(only_line(capsys.readouterr().out))


def refused(capsys, *arguments):
    assert main(["report", *arguments]) == 2
    return only_line(capsys.readouterr().err)


def without_torch(*arguments):
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)


@pytest.mark.broad
def test_of_a_run_it_says_what_the_run_measured(capsys, workplace):
    found = said(capsys, "run", "--figures", "figures")
    result = json.loads((workplace / "run" / "result.json").read_text())
    assert found["accuracy"] == pytest.approx(result["accuracy"], abs=1e-6)
    assert found["images"] == 40 and found["macs"]["dense"] == result["macs"]["dense"]
    assert found["macs"]["mean"] == pytest.approx(result["macs"]["mean"])
    assert found["open_rate"] == pytest.approx(result["open_rate"]["channel"])
    page = (workplace / "report.html").read_text()
    assert "40 test images of digits" in page and found["bytes"] == len(page.encode())
    drawn = {path.name for path in (workplace / "figures").iterdir()}
    assert {"history.svg", "history.png", "layers.svg", "layers_counted.png"} <= drawn
    assert "the prior that it was trained with" in page


@pytest.mark.broad
def test_of_a_file_and_image_files_with_and_without_torch(capsys, workplace):
    found = said(capsys, "run/model.sluice", "--data", "photos", "-o", "with.html")
    done = without_torch("report", "run/model.sluice", "--data", "photos", "-o", "bare.html", "--json")
    assert done.returncode == 0, done.stderr
    bare = json.loads(done.stdout)
    for key in ("accuracy", "images", "macs", "open_rate"):
        assert bare[key] == found[key]
    named = said(capsys, "run/model.sluice", "--data", "digits", "--limit", "20")
    assert named["accuracy"] == found["accuracy"] and named["macs"] == found["macs"]
    assert (workplace / "bare.html").is_file()


@pytest.mark.broad
def test_beside_other_runs_it_draws_the_frontier(capsys, workplace):
    said(capsys, "run", "--beside", "run", "--figures", "beside", "-o", "beside.html")
    drawn = (workplace / "beside" / "frontier.svg").read_text()
    assert all(f">{name}<" in drawn for name in ("batch_shaping, resnet8", "its other thresholds", "this network"))
    assert "nowhere" in refused(capsys, "run", "--beside", "nowhere")
    line = refused(capsys, "run/model.sluice", "--data", "mnist", "--beside", "run")
    assert "beside: a run has the data set digits, but this report mnist" in line
    done = without_torch("report", "run/model.sluice", "--data", "photos", "--beside", "run")
    assert done.returncode == 2 and "beside: other runs are read by PyTorch" in only_line(done.stderr)


@pytest.mark.broad
def test_of_a_run_that_answers_for_pixels_it_says_mean_iou(capsys, workplace):
    place = camvid_like(workplace / "streets", train=4, test=3)
    (workplace / "streets.yaml").write_text(STREETS)
    assert main(["train", "streets.yaml", "--data-dir", str(place), "--out", "streets-run", "--json"]) == 0
    result = json.loads(only_line(capsys.readouterr().out))
    found = said(capsys, "streets-run", "--data-dir", str(place), "-o", "streets.html")
    assert found["mean_iou"] == pytest.approx(result["mean_iou"], abs=2e-3)
    assert found["accuracy"] == pytest.approx(result["accuracy"], abs=2e-3)
    assert found["macs"]["mean"] == pytest.approx(result["macs"]["mean"])
    assert "mean IoU" in (workplace / "streets.html").read_text()


def test_image_files_without_classes_have_no_accuracy(capsys, workplace):
    found = said(capsys, "run", "--data", "photos/3")
    assert found["accuracy"] is None and found["images"] >= 1


def test_what_cannot_be_reported_on_is_refused_in_a_line(capsys):
    assert "no folder of images; name one with --data" in refused(capsys, "run/model.sluice")
    for words in (["nowhere"], ["nowhere", "--data", "digits"]):
        assert "neither a run folder nor a .sluice file" in refused(capsys, *words)
    assert "is not a data set" in refused(capsys, "run/model.sluice", "--data", "nothing")


def test_without_torch_the_rest_says_what_it_needs():
    done = without_torch("report", "run", "--data", "photos")
    assert done.returncode == 2 and "install 'sluicegate[train]'" in only_line(done.stderr)
    done = without_torch("train", "small.yaml")
    assert done.returncode == 1 and "pip install 'sluicegate[train]'" in only_line(done.stderr)


def test_a_report_is_whole_or_absent(capsys, workplace):
    np.save(workplace / "photos" / "3" / "broken.npy", np.zeros(3))
    line = refused(capsys, "run/model.sluice", "--data", "photos", "-o", "never.html")
    assert "broken.npy" in line and not (workplace / "never.html").exists()
    (workplace / "photos" / "3" / "broken.npy").unlink()
