"""Training on images that worker processes decode: one run, however many there are, and one line where it ends."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from commands import command, environment, only_line, sluicegate
from PIL import Image

pytestmark = pytest.mark.broad

RECIPE = """
name: pets
data: {name: pets, batch_size: 8, size: 32, workers: 2, augment: {crop_scale: [0.3, 1.0], flip: true, pad_crop: 2}}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg, options: {layer_weight: 0.05}}
recalibration: 3
epochs: 3
accelerator: cpu
"""
COMMAND = ("train", "pets.yaml", "--data-dir", "pets")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The recipe and a folder of pictures of many sizes."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    (folder / "pets.yaml").write_text(RECIPE)
    for split, count in (("train", 20), ("val", 6)):
        for number in range(count):
            path = folder / "pets" / split / ("cat", "dog")[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = rng.integers(40, 60, 2)
            Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def whole(place):
    sluicegate(*COMMAND, "--out", "whole", cwd=place)
    return place / "whole"


def assert_same_weights(folder, whole):
    ours, theirs = (torch.load(one / "last.ckpt", weights_only=True)["state_dict"] for one in (folder, whole))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_how_many_workers_makes_no_difference(place, whole):
    sluicegate(*COMMAND, "data.workers=0", "--out", "alone", cwd=place)
    assert_same_weights(place / "alone", whole)


def test_cut_off_and_resumed_it_is_the_whole_run(place, whole):
    process = subprocess.Popen(
        command(*COMMAND, "--out", "cut"), cwd=place, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("epoch 2/"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    sluicegate(*COMMAND, "--out", "cut", "--resume", cwd=place)
    assert_same_weights(place / "cut", whole)


def test_two_processes_train_what_one_does(place):
    """In float64 and with frozen norms, as in `test_distributed.py`."""
    options = ("precision=64-true", "batch_norm=frozen", "recalibration=0", "epochs=2", "--json")
    one = sluicegate(*COMMAND, *options, "--out", "one", cwd=place)
    two = sluicegate(*COMMAND, *options, "devices=2", "strategy=ddp", "--out", "two", cwd=place)
    assert json.loads(one.stdout)["macs"] == json.loads(two.stdout)["macs"]
    ours, theirs = (np.genfromtxt(place / name / "metrics.csv", delimiter=",", names=True) for name in ("one", "two"))
    assert np.abs(ours["train_loss"] - theirs["train_loss"]).max() < 1e-5


def test_a_damaged_picture_and_a_vanished_folder_end_it_in_one_line(place):
    shutil.copytree(place / "pets", place / "spoilt" / "pets")
    spoilt = ("train", "../pets.yaml", "--data-dir", "pets")
    (place / "spoilt" / "pets" / "train" / "cat" / "4.jpg").write_bytes(b"\xff\xd8\xff")
    done = sluicegate(*spoilt, "--out", "run", cwd=place / "spoilt", status=1)
    assert "train/cat/4.jpg is not a readable image" in only_line(done.stderr)


def test_a_killed_worker_ends_it_in_one_line_and_the_last_epoch_is_kept(place, whole):
    """The worker kills itself, at a time when nothing has been said but of the first epoch."""
    code = (
        "import os, signal, sys\n"
        "from sluicegate.data.streaming import _Decoder\n"
        "decoded = _Decoder.__getitem__\n"
        "def dies(self, ticket):\n"
        "    if ticket[0] == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return decoded(self, ticket)\n"
        "_Decoder.__getitem__ = dies\n"
        "from sluicegate.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [*command()[:1], "-c", code, *COMMAND, "--out", "killed"]
    done = subprocess.run(arguments, cwd=place, env=environment(), capture_output=True, text=True, timeout=300)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 2, done.stderr
    assert lines[0].startswith("epoch 1/3") and "a process that decodes images died" in lines[1]
    sluicegate(*COMMAND, "--out", "killed", "--resume", cwd=place)
    assert_same_weights(place / "killed", whole)


def test_no_worker_outlives_a_run(place, whole):
    assert multiprocessing.active_children() == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert not [line for line in running.splitlines() if str(place) in line]
