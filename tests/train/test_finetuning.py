"""The verb `finetune`, in this process and, killed, in one of its own."""

import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import printed
from commands import command, environment, sluicegate
from PIL import Image
from safetensors.torch import load_file, save_file

from sluicegate.cli import main
from sluicegate.errors import InputError
from sluicegate.nets import build_net
from sluicegate.train import finetune_recipe, finetuning, load_run, read_run_recipe
from sluicegate_runtime import LatencyTable, Session

QUICK = (
    "net.options.width=0.25", "data.limit_train=256", "data.limit_test=50", "data.batch_size=32",
    "fit.steps=5", "recalibration=3", "accelerator=cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(build_net("resnet8", width=0.25, in_channels=1).state_dict(), "dense.safetensors")
    return tmp_path


def asked(*more, out="run", epochs="2"):
    basic = ("finetune", "resnet8", "--weights", "dense.safetensors", "--data", "digits", "--epochs", epochs)
    return (*basic, "-o", out, *QUICK, *more)


def refused(capsys, status, *arguments):
    """The last line of a command that exits with `status`; the accuracy of the network as it came may stand before."""
    assert main(arguments) == status
    streams = capsys.readouterr()
    assert streams.out == ""
    line = streams.err.splitlines()[-1]
    assert line.startswith("sluicegate: error: ")
    return line


def test_it_goes_from_weights_to_a_run_that_is_evaluated_and_predicted_with(capsys, workplace):
    found = printed(capsys, *asked("budget.macs=0.7"))
    assert found == json.loads((workplace / "run" / "finetune.json").read_text())
    assert found["before"].keys() == found["after"].keys() == {"accuracy", "macs", "ms"}
    assert found["before"]["ms"] > 0 and found["after"]["ms"] > 0
    assert found["epochs"] == 2 and found["images"] == 50
    begun = read_run_recipe("run")
    assert begun.budget.macs == 0.7 and begun.net.weights == "dense.safetensors"
    measured = printed(capsys, "evaluate", "run")
    assert measured["accuracy"] == found["after"]["accuracy"]
    assert measured["macs"]["mean"] == found["after"]["macs"]
    assert measured["macs"]["dense"] == found["before"]["macs"]
    assert Session("run/model.sluice").run(torch.zeros(1, 1, 32, 32).numpy()).output.shape == (1, 10)
    again = printed(capsys, *asked("budget.macs=0.7", "--resume"))
    assert again == found, "a finished run is handed out as it is"
    assert "holds a run already" in refused(capsys, 2, *asked("budget.macs=0.7"))


@pytest.mark.broad
def test_people_get_a_table(capsys):
    assert main(asked(epochs="1")) == 0
    streams = capsys.readouterr()
    assert "as it came" in streams.out and "fine-tuned" in streams.out
    assert "as it came: accuracy" in streams.err


@pytest.mark.broad
def test_the_average_is_what_is_measured_and_kept(capsys):
    """Learning rate 1 wrecks the last step's weights; an average that hardly moves does not follow."""
    wild = ("optimizer.lr=0.5", "fit.steps=0", "recalibration=0", "batch_norm=frozen")
    kept = printed(capsys, *asked(*wild, "average=0.99999", out="average", epochs="1"))
    net = load_run("average")[1].state_dict()
    printed(capsys, *asked(*wild, "average=0", out="last", epochs="1"))
    last = load_run("last")[1].state_dict()
    name = "network.linear.weight"
    dense = load_file("dense.safetensors")["linear.weight"]
    assert (net[name] - dense).norm() < (last[name] - dense).norm()
    assert kept["after"]["accuracy"] == printed(capsys, "evaluate", "average")["accuracy"]


def test_a_network_of_ones_own_by_its_path(capsys, workplace):
    (workplace / "mine.py").write_text(
        "from sluicegate.nets import build_net\n"
        "def small(num_classes=10, in_channels=1):\n"
        "    return build_net('resnet8', width=0.25, classes=num_classes, in_channels=in_channels)\n"
    )
    arguments = [one for one in asked(epochs="1") if not one.startswith("net.options")]
    arguments[1] = "mine:small"
    found = printed(capsys, *arguments)
    assert found["name"] == "finetune-mine-small-digits-0.5"
    assert printed(capsys, "evaluate", "run")["accuracy"] == found["after"]["accuracy"]


@pytest.mark.broad
@pytest.mark.parametrize(("library", "net"), [("torchvision", "resnet18"), ("timm", "resnet10t")])
def test_a_library_network_on_an_image_folder(library, net, capsys, workplace):
    pytest.importorskip(library)
    draw = np.random.default_rng(0)
    for split, name, number in itertools.product(("train", "val"), ("cat", "dog"), range(4)):
        (workplace / "pets" / split / name).mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(workplace / "pets" / split / name / f"{number}.png")
    torch.save(build_net(f"{library}:{net}", classes=2).state_dict(), "trained.pth")
    found = printed(
        capsys, "finetune", f"{library}:{net}", "--weights", "trained.pth", "--data", "pets", "--size", "32",
        "--normalize", "imagenet", "-o", "run", "--epochs", "1", "data.batch_size=4", "fit.steps=2", "recalibration=1",
        "accelerator=cpu",
    )  # fmt: skip
    assert found["name"] == f"finetune-{library}-{net}-pets-0.5" and found["images"] == 8
    assert read_run_recipe("run").data.normalize == "imagenet"
    assert Session("run/model.sluice").run(np.zeros((1, 3, 32, 32), np.float32)).output.shape == (1, 2)


@pytest.mark.broad
def test_a_teacher_of_its_own(capsys, workplace):
    save_file(build_net("resnet14", in_channels=1).state_dict(), "teacher.safetensors")
    found = printed(capsys, *asked("--teacher", "resnet14=teacher.safetensors", epochs="1"))
    assert found["epochs"] == 1 and read_run_recipe("run").distillation.teacher == "resnet14"
    printed(capsys, *asked("--teacher", "none", epochs="1", out="alone"))
    assert read_run_recipe("alone").distillation.weight == 0


@pytest.mark.broad
def test_milliseconds_are_a_target_whose_table_is_measured_first(capsys, monkeypatch):
    """So small a network hardly gains by closed gates, so its dense time is set higher than it is."""
    measure = finetuning.measure_latency

    def slow_when_dense(*args):
        table = measure(*args)
        return dataclasses.replace(table, dense=10 * table.dense)

    monkeypatch.setattr(finetuning, "measure_latency", slow_when_dense)
    printed(capsys, *asked("--kind", "ms", "--target", "0.1", epochs="1"))
    begun = read_run_recipe("run")
    assert (begun.latency.table, begun.latency.ms) == ("run/latency.json", 0.1)
    assert begun.budget.macs is None
    assert LatencyTable.load("run/latency.json").threads == 1


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--weights", "gone.safetensors"), "gone.safetensors"),
        (("--data", "nowhere"), "'nowhere' is not a data set"),
        (("--kind", "watts"), "watts"),
        (("--kind", "ms", "--table", "gone.json"), "table: 'gone.json' is no latency table"),
        (("--teacher", "resnet56"), "teacher: 'resnet56' must be NET=WEIGHTS"),
        (("--teacher", "resnet14=gone.pt"), "gone.pt"),
        (("--normalize", "mars"), "normalize: 'mars' has no known mean and std"),
        (("budget.macs=1.5",), "budget.macs: 1.5"),
        (
            ("method.name=dense", "method.options={}", "fit.steps=0"),
            "budget.macs: 0.5 cannot be a target: the network has no gates",
        ),
        (("method.name=dense", "method.options={}"), "fit.steps: 5, but the network has no gates to fit"),
        (("epochs=0",), "epochs: 0"),
        (("net.name=nowhere:net",), "net: 'nowhere:net' cannot be built: ModuleNotFoundError"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(more, named, capsys, monkeypatch):
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    assert named in refused(capsys, 2, *asked(*more))
    assert not Path("run").exists()


def test_a_network_that_the_engine_cannot_run_is_refused_before_the_first_epoch(capsys, workplace, monkeypatch):
    def fail(*args, **options):
        raise InputError("export: op sinh is not known")

    monkeypatch.setattr("sluicegate.train.finetuning.export_net", fail)
    assert "sinh" in refused(capsys, 2, *asked())
    assert not Path("run").exists()


def test_weights_of_a_library_bring_their_mean_and_std():
    pytest.importorskip("timm")
    lite = finetune_recipe("timm:tf_efficientnet_lite0", "pretrained", "photos")
    assert lite.data.normalize == "0.5,0.5,0.5/0.5,0.5,0.5"
    assert finetune_recipe("torchvision:resnet18", "pretrained", "photos").data.normalize == "imagenet"
    assert finetune_recipe("torchvision:resnet18", "mine.pt", "photos").data.normalize is None


def killed(place: Path, seconds: float, out: str) -> bool:
    """Start a fine-tune, kill it after so many seconds; whether it was still running."""
    process = subprocess.Popen(
        command(*asked(out=out, epochs="3")), cwd=place, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_the_final_weights_are_the_same(workplace):
    """Teacher, fitted gates, average and recalibration included: the files for the engine are equal, byte by byte.
    $SLUICEGATE_KILLS says how often."""
    started = time.monotonic()
    sluicegate(*asked(out="whole", epochs="3"), cwd=workplace)
    whole = time.monotonic() - started
    draw = random.Random(int(os.environ.get("SLUICEGATE_SEED", "0")))
    for number in range(int(os.environ.get("SLUICEGATE_KILLS", "3"))):
        out = f"killed{number}"
        if not killed(workplace, draw.uniform(0.3, 0.95) * whole, out):
            continue
        again = asked("--resume", out=out, epochs="3")
        sluicegate(*again, cwd=workplace)
        assert (workplace / out / "model.sluice").read_bytes() == (workplace / "whole" / "model.sluice").read_bytes()
        ours, theirs = (torch.load(workplace / one / "last.ckpt", weights_only=True) for one in (out, "whole"))
        assert all(torch.equal(ours["state_dict"][name], t) for name, t in theirs["state_dict"].items())


@pytest.mark.broad
def test_killed_in_the_second_epoch_and_resumed_the_final_weights_are_the_same(workplace):
    sluicegate(*asked(out="whole", epochs="3"), cwd=workplace)
    process = subprocess.Popen(
        command(*asked(out="cut", epochs="3")), cwd=workplace, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (workplace / "cut" / "last.ckpt").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    sluicegate(*asked("--resume", out="cut", epochs="3"), cwd=workplace)
    assert (workplace / "cut" / "model.sluice").read_bytes() == (workplace / "whole" / "model.sluice").read_bytes()
