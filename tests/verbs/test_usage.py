"""How the command line is used, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import printed, refused
from commands import only_line, sluicegate
from PIL import Image

from sluicegate.cli import main
from sluicegate.recipes import demo
from sluicegate.train import read_run_recipe
from sluicegate.verbs import arguments, evaluating


@pytest.mark.broad
def test_demo_prints_its_middle_point_and_all_others(capsys, monkeypatch, run):
    def quick(name):
        made = demo.recipes()[name]()
        return replace(made, epochs=1, data=replace(made.data, limit_train=128, limit_test=40))

    monkeypatch.setattr("sluicegate.verbs.training.recipe", quick)
    shutil.move(run, Path("demo", demo.NAMES["middle"]))  # of an earlier demo, whose place it takes
    found = printed(capsys, "demo", "--out", "demo")
    assert {"accuracy", "macs", "seconds", "points"} <= found.keys()
    assert {"dense", "mean", "min", "max"} <= found["macs"].keys()
    assert [point["name"] for point in found["points"]] == list(demo.NAMES.values())
    assert found["name"] == demo.NAMES["middle"] == read_run_recipe(Path("demo", demo.NAMES["middle"])).name
    assert found["report"] == str(Path("demo") / "report.html") and Path(found["report"]).is_file()


def test_recipes_are_listed_one_a_line(capsys):
    assert "dlcg-resnet20-cifar10-row9" in printed(capsys, "recipes")
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("dlcg-resnet20-cifar10-row" in line for line in lines) == 9


def test_people_get_tables(capsys):
    assert main(["train", "small.yaml", "--out", "run"]) == 0
    streams = capsys.readouterr()
    assert "accuracy" in streams.out
    assert "layer1.0.conv1" in streams.out
    assert "epoch 1/1" in streams.err


@pytest.mark.cases(10)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "verb"),
        (["fly"], "fly"),
        (["train"], "recipe"),
        (["train", "dlcg-resnet20"], "'dlcg-resnet20' is neither a recipe nor a YAML file"),
        (["train", "absent.yaml"], "absent.yaml"),
        (["train", "small.yaml", "--colour", "red"], "--colour"),
        (["train", "small.yaml", "epoch=3"], "epoch"),
        (["train", "small.yaml", "epochs"], "key=value"),
        (["train", "small.yaml", "epochs=none"], "epochs"),
        (["train", "small.yaml", "net.name=vgg"], "'vgg' is not a network"),
        (["train", "small.yaml", "method.name=skip"], "'skip' is not a method"),
        (["train", "small.yaml", "data.name=cifar11"], "'cifar11' is not a data set"),
        (["train", "small.yaml", "data.name=mine", "--data-dir", "nowhere"], "nowhere"),
        (["train", "small.yaml", "data.batch_size=4096"], "4096"),
        (["train", "small.yaml", "accelerator=abacus"], "abacus"),
        (["train", "small.yaml", "devices=none"], "devices=none"),
        (["train", "small.yaml", "net.weights=absent.safetensors"], "absent.safetensors"),
        (["evaluate", "resnet20"], "--weights"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors"], "--data"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits"], "absent.safetensors"),
        (["evaluate", "."], "not a run folder"),
        (["evaluate", "resnet20", "--strategy", "coin"], "coin"),
        (["evaluate", "resnet20", "--limit", "few"], "few"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits", "--limit", "0"], "limit_test"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits", "--size", "0"], "size"),
        (["train", "small.yaml", "method.options.layer_weight=null"], "layer_weight"),
        (["profile", "small.yaml", "-o", "small.yaml/table.json"], "small.yaml/table.json: cannot be written"),
        (["profile", "small.yaml", "-o", "."], "cannot be written: it is a folder"),
        (["train", "small.yaml", "--out", "small.yaml/run"], "small.yaml/run/data.json: cannot be written"),
        (["frontier"], "runs"),
        (["frontier", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments, named, capsys, monkeypatch, workplace):
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    before = sorted(workplace.iterdir())
    assert named in refused(capsys, 2, *arguments)
    assert sorted(workplace.iterdir()) == before, "a refused command leaves nothing behind"


def test_what_does_not_fit_a_run_is_refused(capsys, run, dense):
    assert "'squeezenet' is not known" in refused(capsys, 2, "frontier", "run", "--paper", "squeezenet")
    assert "cannot be written" in refused(capsys, 2, "frontier", "run", "-o", "small.yaml/figure.png")
    for options, named in {
        ("--strategy", "stochastic", "--threshold", "0.3"): "threshold: [0.3] is given, but the stochastic strategy",
        ("--strategy", "ensemble", "--threshold", "0.3"): "threshold: [0.3] is given, but the ensemble strategy",
        ("--strategy", "always-on", "--passes", "3"): "passes: 3 is given, but the always-on strategy has none",
        ("--passes", "3"): "passes: 3 is given, but the threshold strategy has none",
        ("--strategy", "ensemble", "--passes", "0"): "passes: 0",
    }.items():
        assert named in refused(capsys, 2, "evaluate", "run", *options)
    for option, value in {"--strategy": "always-on", "--threshold": "0.5", "--passes": "3"}.items():
        assert "is given, but small has no gates" in refused(capsys, 2, "evaluate", "dense", option, value)


def test_a_network_that_cannot_be_traced_is_refused(capsys, monkeypatch):
    from torch import nn

    class Fickle(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    monkeypatch.setattr("sluicegate.train.build.build_net", lambda name, **options: Fickle())
    assert "Fickle" in refused(capsys, 2, "train", "small.yaml", "--out", "run")


def test_images_of_several_sizes_are_refused(capsys, workplace):
    for split in ("train", "val"):
        for number, size in enumerate((32, 40)):
            folder = workplace / "photos" / split / "cat"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (size, size)).save(folder / f"{number}.png")
    line = refused(capsys, 2, "train", "small.yaml", "data.name=photos", "--data-dir", "photos", "--out", "run")
    assert "size" in line


def test_a_nan_loss_ends_with_status_1(capsys):
    assert main(["train", "small.yaml", "optimizer.lr=1e30", "--out", "run"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("sluicegate: error: loss: not finite at epoch 1")


@pytest.mark.broad
def test_the_command_is_quiet_where_it_has_nothing_to_say(workplace):
    done = sluicegate("train", "small.yaml", "--out", "run", "--json", cwd=workplace)
    assert json.loads(only_line(done.stdout))["epochs"] == 1
    assert only_line(done.stderr).startswith("epoch 1/1")


def test_sites_say_what_can_be_gated(capsys):
    found = printed(capsys, "sites", "resnet8", "--size", "32")
    assert len(found["layers"]) == 8 and 0.9 < found["by_channels"] < 1
    assert main(["sites", "resnet8", "--size", "32"]) == 0
    text = capsys.readouterr().out
    assert "a shortcut carries its channels" in text and "in 3 residual branches" in text
    assert "depth: 7 must be 6n + 2" in refused(capsys, 2, "sites", "resnet7")
    assert "does not accept inputs of shape (1, 3, 0, 0)" in refused(capsys, 2, "sites", "resnet8", "--size", "0")


def test_evaluate_offers_the_strategies_that_it_has():
    assert tuple(evaluating._STRATEGIES) == arguments.STRATEGIES
