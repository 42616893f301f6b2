"""What ends a run from outside: a full disk, one of several processes that dies. The last whole epoch is kept."""

import resource
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from commands import command, environment, only_line, sluicegate

pytestmark = pytest.mark.broad

RECIPE = """
name: small
data: {name: digits, batch_size: 64, limit_train: 512, limit_test: 100, augment: {pad_crop: 2, flip: true}}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: "linear(0, 0.1)"}}
optimizer: {schedule: cosine}
epochs: 3
accelerator: cpu
"""
TRAIN = ("train", "small.yaml")
TWO = ("devices=2", "strategy=ddp")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(RECIPE)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_weights(folder: Path, whole: Path) -> None:
    ours, theirs = weights(folder), weights(whole)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def after_the_first_epoch(folder: Path, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """A run that has written its first checkpoint; `limit`: no file may grow beyond so many bytes."""
    process = subprocess.Popen(
        command(*TRAIN, *arguments, "--out", folder.name),
        cwd=folder.parent,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=None if limit is None else partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)),
    )
    while not (folder / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    return process


def test_a_disk_that_is_full_ends_it_in_one_line_and_the_last_epoch_is_kept(place):
    sluicegate(*TRAIN, "--out", "whole", cwd=place)
    folder = place / "full"
    sluicegate(*TRAIN, "epochs=1", "--out", folder.name, cwd=place)
    kept = (folder / "last.ckpt").read_bytes()
    process = after_the_first_epoch(folder, "--resume", limit=len(kept) // 2)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "last.ckpt: cannot be written: File too large" in only_line(
        "\n".join(line for line in said.splitlines() if not line.startswith("epoch "))
    )
    assert (folder / "last.ckpt").read_bytes() == kept
    assert not list(folder.glob("*.part*")), "nothing half-written is left"
    sluicegate(*TRAIN, "--out", folder.name, "--resume", cwd=place)
    assert (folder / "metrics.csv").read_text().count("\n") == 1 + 3


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_of_two_processes_one_is_killed(place):
    sluicegate(*TRAIN, *TWO, "--out", "two", cwd=place)
    folder = place / "one-left"
    process = after_the_first_epoch(folder, *TWO)
    for child in children(process.pid):
        command_line = Path(f"/proc/{child}/cmdline").read_text()
        if "train" in command_line:
            subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(child)], check=True)
    process.communicate(timeout=120)
    assert process.returncode != 0
    sluicegate(*TRAIN, *TWO, "--out", folder.name, "--resume", cwd=place)
    assert_same_weights(folder, place / "two")
