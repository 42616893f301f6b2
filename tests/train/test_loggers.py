"""Logs beside metrics.csv, by Lightning."""

import csv
from dataclasses import replace

import pytest

from sluicegate.train import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe, run

RECIPE = Recipe(
    "small",
    DataRecipe("digits", batch_size=2, limit_train=120, limit_test=20),
    NetRecipe("resnet8", {"width": 0.25}),
    MethodRecipe("dlcg"),
    OptimizerRecipe(lr=0.1),
    epochs=1,
    accelerator="cpu",
)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.broad
def test_a_csv_log_has_steps_and_epochs_and_a_resumed_run_one_more(tmp_path):
    recipe = replace(RECIPE, logger="csv")
    run(recipe, tmp_path / "run", progress=False)
    run(replace(recipe, epochs=2), tmp_path / "run", resume=True, progress=False)
    logs = [rows(tmp_path / "run" / "logs" / f"version_{n}" / "metrics.csv") for n in range(2)]
    for log, epoch in zip(logs, rows(tmp_path / "run" / "metrics.csv"), strict=True):
        assert any(row["loss_step"] and row["macs"] and row["open_channel"] for row in log)
        (measured,) = (row for row in log if row["epoch/accuracy"])
        assert float(measured["epoch/accuracy"]) == float(epoch["accuracy"])
        assert float(measured["epoch/macs_mean"]) == float(epoch["macs_mean"])


@pytest.mark.broad
def test_a_log_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    run(replace(RECIPE, logger="tensorboard"), tmp_path / "run", progress=False)
    (log,) = (tmp_path / "run" / "logs" / "version_0").glob("events.*")
    assert b"epoch/accuracy" in log.read_bytes()


@pytest.mark.broad
def test_without_one_there_is_no_folder(tmp_path):
    run(RECIPE, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "logs").exists()
