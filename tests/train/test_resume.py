"""A run that is killed goes on as if it had not been."""

import os
import signal
import subprocess
import time

import pytest
import torch
from commands import command, environment, sluicegate

RECIPE = """
name: small
data: {name: digits, batch_size: 64, limit_train: 512, limit_test: 100, augment: {pad_crop: 2, flip: true}}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: "linear(0, 0.1)"}}
optimizer: {schedule: one-cycle}
epochs: 3
accelerator: cpu
"""


def weights(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def figures(folder):
    """metrics.csv without its column of seconds."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


def kill_in_second_epoch(place, folder):
    process = subprocess.Popen(
        command("train", "small.yaml", "--out", folder.name),
        cwd=place,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 1/"):
            break
    while not (folder / "last.ckpt").exists():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.broad
def test_killed_in_the_second_epoch_and_resumed_is_bit_equal(tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sluicegate("train", "small.yaml", "--out", "whole", cwd=tmp_path)
    kill_in_second_epoch(tmp_path, killed)
    assert len(figures(killed)) == 1 + 1
    sluicegate("train", "small.yaml", "--out", "killed", "--resume", cwd=tmp_path)
    ours, theirs = weights(killed), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert figures(killed) == figures(whole)
    assert (killed / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
