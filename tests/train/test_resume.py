"""A run that is killed goes on as if it had not been."""

import os
import signal
import subprocess
import time

import pytest
import torch
from commands import command, environment, only_line, sluicegate

RECIPE = """
name: small
data: {name: digits, batch_size: 64, limit_train: 512, limit_test: 100, augment: {pad_crop: 2, flip: true}}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: "linear(0, 0.1)"}}
optimizer: {schedule: one-cycle}
epochs: 3
accelerator: cpu
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(RECIPE)
    sluicegate("train", "small.yaml", "--out", "run", cwd=folder)
    return folder


def weights(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def figures(folder):
    """metrics.csv without its column of seconds."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


def kill_in_second_epoch(folder):
    process = subprocess.Popen(
        command("train", "small.yaml", "--out", "run"), cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 1/"):
            break
    while not (folder / "run" / "last.ckpt").exists():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_in_the_second_epoch_and_resumed_is_bit_equal(whole, tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    kill_in_second_epoch(tmp_path)
    assert len(figures(tmp_path / "run")) == 1 + 1
    sluicegate("train", "small.yaml", "--out", "run", "--resume", cwd=tmp_path)
    resumed, uninterrupted = weights(tmp_path / "run"), weights(whole / "run")
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)
    assert figures(tmp_path / "run") == figures(whole / "run")
    best = [(folder / "run" / "best.safetensors").read_bytes() for folder in (tmp_path, whole)]
    assert best[0] == best[1]


def test_a_run_is_not_overwritten(whole):
    refused = sluicegate("train", "small.yaml", "--out", "run", cwd=whole, status=2)
    assert "--resume" in only_line(refused.stderr)


def test_another_recipe_does_not_go_on_with_a_run(whole):
    refused = sluicegate("train", "small.yaml", "epochs=4", "--out", "run", "--resume", cwd=whole, status=2)
    assert "another recipe" in only_line(refused.stderr)


def test_a_truncated_checkpoint_is_named(whole, tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    (tmp_path / "run").mkdir()
    for name in ("recipe.yaml", "metrics.csv"):
        (tmp_path / "run" / name).write_bytes((whole / "run" / name).read_bytes())
    (tmp_path / "run" / "last.ckpt").write_bytes((whole / "run" / "last.ckpt").read_bytes()[:5000])
    resumed = sluicegate("train", "small.yaml", "--out", "run", "--resume", cwd=tmp_path, status=1)
    assert "last.ckpt" in only_line(resumed.stderr)
    evaluated = sluicegate("evaluate", "run", cwd=tmp_path, status=1)
    assert "last.ckpt" in only_line(evaluated.stderr)
