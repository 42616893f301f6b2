"""Finished runs as points of a frontier; `cli/test_runs.py` draws and times real ones."""

from pathlib import Path

import pytest

from sluicegate.analysis import Point
from sluicegate.errors import InputError
from sluicegate.files import write_json
from sluicegate.train import Best, DataRecipe, MacStatistics, MethodRecipe, NetRecipe, Recipe, Result, frontiers

RUNS = {
    "a": ("dlcg", "resnet8", "digits"),
    "b": ("dlcg", "resnet8", "digits"),
    "c": ("dlcg", "resnet20", "digits"),
    "d": ("dense", "resnet8", "digits"),
    "e": ("dense", "resnet20", "digits"),
    "f": ("dlcg", "resnet8", "mnist"),
}


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    """Run folders that are nowhere: every result is of the same figures but for its name."""

    def recipe(folder):
        method, net, data = RUNS[folder.name]
        return Recipe(folder.name, DataRecipe(data), NetRecipe(net), MethodRecipe(method))

    def result(folder):
        return Result(folder.name, 0.5, 9, MacStatistics(8, 4.0, 2, 6, 1.0), {}, {}, Best(1, 0.5), 1, 1.0, {}, {}, "")

    monkeypatch.setattr(frontiers, "read_run_recipe", recipe)
    monkeypatch.setattr(frontiers, "read_result", result)


def test_runs_of_a_method_on_a_network_are_a_series_and_the_dense_ones_another():
    series = frontiers.run_series([Path(name) for name in "abcde"])
    assert [(one.name, one.role, [point.label for point in one.points]) for one in series] == [
        ("dlcg, resnet8", "gated", ["a", "b"]),
        ("dlcg, resnet20", "gated", ["c"]),
        ("dense", "dense", ["resnet8", "resnet20"]),
    ]
    assert series[0].points[0] == Point("a", 0.5, 4.0, 2, 6)


def test_a_frontier_is_of_one_data_set():
    with pytest.raises(InputError, match="runs: their data sets are digits, mnist; a frontier needs a single data set"):
        frontiers.run_series([Path("a"), Path("f")])


def test_a_finetuned_run_brings_the_network_that_it_began_with(tmp_path, monkeypatch):
    """Once, however many runs began with it."""
    began = {"accuracy": 0.6, "macs": 8.0, "ms": 2.0}
    wrote = {"before": began, "after": began, "name": "", "images": 9, "epochs": 1, "seconds": 1.0, "file": ""}
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        write_json(folder / "finetune.json", wrote | {"machine": {}, "versions": {}, "command": ""})
    monkeypatch.setattr(frontiers, "time_runs", lambda folders, data_dir: [(1.0, 1.5), (1.2, 1.6)])
    gated, dense = frontiers.run_series(folders, timed=True)
    assert [point.milliseconds for point in gated.points] == [1.0, 1.2]
    assert dense.points == (Point("resnet8", 0.6, 8.0, milliseconds=1.5),)
