"""Runs: train, resume, evaluate, and what is drawn of them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import printed, refused
from PIL import Image

from sluicegate.cli import main
from sluicegate.data import Normalize, load
from sluicegate.train import load_run, read_run_spec


def photos(folder):
    """Two pictures of either class, for training and for measuring."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for split in ("train", "val"):
            (folder / split / name).mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 256, (34, 40, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def test_train_writes_a_run_folder_and_evaluate_finds_the_same(capsys, workplace):
    result = printed(capsys, "train", "small.yaml", "--out", "run", "seed=3", "data.batch_size=32")
    assert {path.name for path in (workplace / "run").iterdir()} == {
        "recipe.yaml",
        "metrics.csv",
        "data.json",
        "last.ckpt",
        "best.safetensors",
        "final.safetensors",
        "result.json",
        "model.sluice",
    }
    assert result == json.loads((workplace / "run" / "result.json").read_text())
    assert result["macs"].keys() == {"dense", "mean", "min", "max", "std"}
    assert result["open_rate"].keys() == {"layer", "channel"}
    assert result["machine"]["cores"] > 0
    assert "batch_size: 32" in (workplace / "run" / "recipe.yaml").read_text()
    (*_, last) = csv.DictReader((workplace / "run" / "metrics.csv").open())
    assert {name: float(rate) for name, rate in last.items() if ":" in name} == {
        f"open:{site}": rate for site, rate in result["sites"].items()
    }
    measured = printed(capsys, "evaluate", "run")
    for key in ("accuracy", "images", "macs", "open_rate", "sites"):
        assert measured[key] == result[key], key
    assert measured["by_module"]["conv1"]["kind"] == "conv"
    assert not (workplace / "lightning_logs").exists()


@pytest.mark.broad
def test_evaluate_takes_a_strategy_and_other_weights(capsys, run):
    closed = printed(capsys, "evaluate", "run", "--threshold", "0.999", "--weights", "run/best.safetensors")
    assert closed["open_rate"]["layer"] == 0
    opened = printed(capsys, "evaluate", "run", "--strategy", "always-on", "--limit", "7")
    assert opened["open_rate"] == {"layer": 1, "channel": 1}
    assert opened["images"] == 7
    assert "2.0 must lie between 0 and 1" in refused(capsys, 2, "evaluate", "run", "--threshold", "2")


def test_a_run_is_neither_overwritten_nor_continued_by_another_recipe(capsys, workplace, run):
    kept = {path: path.read_bytes() for path in (workplace / "run").iterdir()}
    assert "--resume" in refused(capsys, 2, "train", "small.yaml", "--out", "run")
    for other, named in {
        "seed=9": "resume: seed is 9, but 0 in the run in 'run'; only epochs may grow",
        "optimizer.lr=0.2": "resume: optimizer.lr is 0.2, but 0.1 in the run",
        "method.options.layer_weight=1": "resume: method.options.layer_weight is 1, but not given in the run",
        "data.limit_test=30": "resume: data.limit_test is 30, but 40 in the run",
    }.items():
        assert named in refused(capsys, 2, "train", "small.yaml", other, "--out", "run", "--resume")
    assert {path: path.read_bytes() for path in (workplace / "run").iterdir()} == kept


def test_a_finished_run_resumes_to_its_own_result(capsys):
    first = printed(capsys, "train", "small.yaml", "--out", "run")
    again = printed(capsys, "train", "small.yaml", "--out", "run", "--resume")
    assert again == first


@pytest.mark.broad
def test_a_finished_run_goes_on_for_more_epochs(capsys, workplace, run):
    more = printed(capsys, "train", "small.yaml", "epochs=3", "--out", "run", "--resume")
    assert more["epochs"] == 3
    assert len((workplace / "run" / "metrics.csv").read_text().splitlines()) == 1 + 3
    assert "epochs: 3" in (workplace / "run" / "recipe.yaml").read_text()
    assert printed(capsys, "evaluate", "run")["accuracy"] == more["accuracy"]
    fewer = refused(capsys, 2, "train", "small.yaml", "--out", "run", "--resume")
    assert "resume: epochs is 1, and the run in 'run' has 3" in fewer


@pytest.mark.broad
def test_a_run_that_goes_on_and_is_cut_off_is_not_taken_for_finished(capsys, workplace, monkeypatch):
    printed(capsys, "train", "small.yaml", "--out", "run")
    arguments = ("train", "small.yaml", "epochs=2", "--out", "run", "--resume")
    with monkeypatch.context() as patch:
        patch.setattr("lightning.Trainer.fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(arguments) == 130
    assert not (workplace / "run" / "result.json").exists()
    assert printed(capsys, *arguments)["epochs"] == 2


def test_a_run_is_not_resumed_on_other_images(capsys, workplace):
    photos(workplace / "photos")
    shutil.copytree(workplace / "photos", workplace / "others")
    for split in ("train", "val"):
        (workplace / "others" / split / "cat").rename(workplace / "others" / split / "bat")
    arguments = ("train", "small.yaml", "data.name=photos", "data.batch_size=2", "data.size=32", "--out", "run")
    printed(capsys, *arguments, "--data-dir", "photos")
    (workplace / "run" / "result.json").unlink()
    line = refused(capsys, 2, *arguments, "--data-dir", "others", "--resume")
    assert "resume: the data's classes is ['bat', 'dog'], but ['cat', 'dog'] in the run in 'run'" in line


def test_a_finished_run_that_is_resumed_keeps_its_result(capsys):
    first, again = (printed(capsys, "train", "small.yaml", "--out", "run", "--resume") for _ in range(2))
    assert first == again


def test_a_run_folder_stands_on_its_own(capsys, workplace, quick_peers):
    """Moved away from its data set, a run is exported, predicts and is timed; only `evaluate` asks for images."""
    photos(workplace / "photos")
    arguments = ("data.name=photos", "data.batch_size=2", "data.size=32", "--data-dir", "photos", "--out", "run")
    printed(capsys, "train", "small.yaml", *arguments)
    seen = printed(capsys, "predict", "run/model.sluice", "photos/val/cat/0.png")
    shutil.copy("photos/val/cat/0.png", "cat.png")
    shutil.rmtree("photos")
    (workplace / "run").rename("moved")
    for name in ("last.ckpt", "best.safetensors", "metrics.csv"):
        Path("moved", name).unlink()
    printed(capsys, "export", "moved", "-o", "net.sluice")
    for file in ("net.sluice", "moved/model.sluice"):
        again = printed(capsys, "predict", file, "cat.png")
        assert {**again, "ms": 0, "file": ""} == {**seen, "ms": 0, "file": ""}
    timed = printed(capsys, "bench", "moved", "--repeats", "1", "--threads", "1")
    assert timed["timed_on"].startswith("100 images of noise (data: 'photos' is not a data set")
    assert "'nowhere' is not a folder" in refused(capsys, 2, "bench", "moved", "--data-dir", "nowhere")
    assert printed(capsys, "profile", "moved", "--threads", "1")["ops"] > 0
    assert "'photos' is not a data set" in refused(capsys, 2, "evaluate", "moved")


@pytest.mark.parametrize("content", [None, "{", "{}", '{"shape": [1, 32], "classes": [], "mean": [0], "std": [1]}'])
def test_a_run_that_does_not_know_its_data_is_named(content, capsys, workplace, run):
    (workplace / "run" / "data.json").unlink()
    if content is not None:
        (workplace / "run" / "data.json").write_text(content)
    assert "run/data.json' is not the description of a run's data" in refused(capsys, 2, "export", "run")


@pytest.mark.broad
def test_a_run_is_measured_with_the_mean_and_std_that_it_was_trained_with(capsys, workplace):
    photos(workplace / "photos")
    photos(workplace / "darker")
    for path in (workplace / "darker").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 4).save(path)
    sized = ("data.name=photos", "data.batch_size=2", "data.size=32", "--data-dir", "photos", "--out", "run")
    printed(capsys, "train", "small.yaml", *sized)
    spec = read_run_spec("run")
    net, pixels = load_run("run")[1], load("darker", "test", "darker", size=32)
    with torch.no_grad():
        output, _ = net(Normalize(spec.mean, spec.std)(pixels.images), return_gates=True)
    wanted = (output.argmax(1) == pixels.labels).double().mean().item()
    assert spec.mean != pixels.mean
    found = printed(capsys, "evaluate", "run", "--data-dir", "darker")
    assert found["accuracy"] == wanted
    for split in ("train", "val"):
        (workplace / "darker" / split / "cat").rename(workplace / "darker" / split / "bat")
    line = refused(capsys, 2, "evaluate", "run", "--data-dir", "darker")
    assert "data: its classes are not those of the run: 'bat' is one of either only" in line


def test_macs_are_those_of_the_size_that_is_measured(capsys, run):
    small, large = (printed(capsys, "evaluate", "run", "--size", size)["macs"]["dense"] for size in ("32", "64"))
    assert 3.9 < large / small < 4.0  # all but the classifier grow with the pixels


@pytest.mark.cases(1)
@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_checkpoint_is_named(length, capsys, workplace, run):
    checkpoint = workplace / "run" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    for name in ("result.json", "final.safetensors"):  # cut off before it was finished
        (workplace / "run" / name).unlink()
    for arguments in (("train", "small.yaml", "--out", "run", "--resume"), ("evaluate", "run")):
        assert "last.ckpt" in refused(capsys, 1, *arguments)


def test_evaluate_sweeps_and_repeats(capsys, run):
    swept = printed(capsys, "evaluate", "run", "--threshold", "0.1", "0.9")["points"]
    assert [point["macs"]["repeats"] for point in swept.values()] == [1, 1]
    assert list(swept) == sorted(swept, key=lambda name: -swept[name]["macs"]["mean"])
    repeated = printed(capsys, "evaluate", "run", "--strategy", "stochastic", "--repeats", "3")["points"]
    (point,) = repeated.values()
    assert point["accuracy"]["repeats"] == 3 and point["macs"]["std"] > 0
    assert "threshold" in refused(capsys, 2, "evaluate", "run", "--threshold")


@pytest.mark.broad
def test_frontier_draws_runs_beside_the_paper(capsys, workplace, run, dense):
    run.rename("gated")
    drawn = printed(capsys, "frontier", "gated", "dense", "--paper", "dlcg", "-o", "figures/f.png")
    assert [(one["name"], one["role"], len(one["points"])) for one in drawn["series"]] == [
        ("dlcg, resnet8", "gated", 1),
        ("dense", "dense", 1),
        ("DLCG, Table 1", "paper", 9),
    ]
    assert {path.name for path in (workplace / "figures").iterdir()} == {"f.png", "f.svg", "f.json"}
    timed = printed(capsys, "frontier", "gated", "dense", "--in", "ms", "-o", "times/f.html")
    assert all(point["milliseconds"] > 0 for one in timed["series"] for point in one["points"])
    assert {path.name for path in (workplace / "times").iterdir()} == {"f.html", "f.json"}
    line = refused(capsys, 2, "frontier", "gated", "--in", "ms", "--paper", "dlcg")
    assert "milliseconds of 'paper: DLCG, Table 1' are not known" in line


def test_weights_of_2018_give_the_accuracy_that_is_known(capsys, data_root):
    weights = data_root.parent / "weights" / "cifar10_resnet20.safetensors"
    if not weights.exists():
        pytest.skip(f"{weights.name} is not beside the data")
    found = printed(
        capsys, "evaluate", "resnet20", "--weights", str(weights), "--data", "cifar10", "--normalize", "imagenet",
        "--limit", "1000",
    )  # fmt: skip
    assert found["accuracy"] == 0.91
    assert found["macs"]["dense"] == 40_551_040
