"""Finished runs as points of a frontier; `test_cli.py` runs what is exported and draws what comes of it."""

from pathlib import Path

import pytest

from sluicegate.analysis import Point
from sluicegate.errors import InputError
from sluicegate.train import Best, DataRecipe, MacStatistics, MethodRecipe, NetRecipe, Recipe, Result, products

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

    monkeypatch.setattr(products, "read_run_recipe", recipe)
    monkeypatch.setattr(products, "read_result", result)


def test_runs_of_a_method_on_a_network_are_a_series_and_the_dense_ones_another():
    series = products.run_series([Path(name) for name in "abcde"])
    assert [(one.name, one.role, [point.label for point in one.points]) for one in series] == [
        ("dlcg, resnet8", "gated", ["a", "b"]),
        ("dlcg, resnet20", "gated", ["c"]),
        ("dense", "dense", ["resnet8", "resnet20"]),
    ]
    assert series[0].points[0] == Point("a", 0.5, 4.0, 2, 6)


def test_a_frontier_is_of_one_data_set():
    with pytest.raises(InputError, match="runs: they are of digits, mnist; a frontier is drawn of one data set"):
        products.run_series([Path("a"), Path("f")])
