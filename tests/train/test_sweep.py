import json
import subprocess

import pytest
from commands import command, environment

from sluicegate.errors import InputError, RunError
from sluicegate.train import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe
from sluicegate.train import sweep as sweeping
from sluicegate.train.sweep import sweep, sweep_recipes

RECIPE = Recipe(
    "small",
    DataRecipe("digits", batch_size=8, limit_train=32, limit_test=20),
    NetRecipe("resnet8", {"width": 0.25}),
    MethodRecipe("dlcg"),
    OptimizerRecipe(lr=0.1),
    epochs=1,
    accelerator="cpu",
)
OVER = ["method.options.channel_weight=0.1,2"]


def test_points_are_a_grid_named_by_what_differs():
    points = sweep_recipes(RECIPE, ["method.options.channel_weight=linear(0, 0.1),2", "seed=0,1"])
    assert list(points) == [
        "channel_weight=linear(0,0.1),seed=0",
        "channel_weight=linear(0,0.1),seed=1",
        "channel_weight=2,seed=0",
        "channel_weight=2,seed=1",
    ]
    first = points["channel_weight=linear(0,0.1),seed=1"]
    assert (first.seed, first.method.options) == (1, {"channel_weight": "linear(0, 0.1)"})
    assert first.name == "small-channel_weight=linear(0,0.1),seed=1"


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ([], "nothing is varied"),
        (["seed"], "'seed' is not of the form"),
        (["seed=1,,2"], "'seed=1,,2' is not of the form"),
        (["seeds=1"], "seeds"),
        (["seed=1,1"], "the point 'seed=1' is there twice"),
    ],
)
def test_a_bad_axis_is_one_line(over, named):
    with pytest.raises(InputError, match=named) as refusal:
        sweep_recipes(RECIPE, over)
    assert "\n" not in str(refusal.value)


@pytest.mark.broad
def test_results_come_one_by_one_and_a_stopped_sweep_goes_on(tmp_path, monkeypatch):
    trained, plain = [], sweeping.run_recipe

    def run_recipe(recipe, *args, **options):
        if len(trained) == 1 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        trained.append(recipe.name)
        return plain(recipe, *args, progress=False, **options)

    monkeypatch.setattr(sweeping, "run_recipe", run_recipe)
    with pytest.raises(KeyboardInterrupt):
        sweep(RECIPE, OVER, tmp_path / "out")
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())) == ["channel_weight=0.1"]
    with pytest.raises(InputError, match="holds a sweep already"):
        sweep(RECIPE, OVER, tmp_path / "out")
    first = (tmp_path / "out" / "channel_weight=0.1" / "last.ckpt").stat().st_mtime_ns
    found = sweep(RECIPE, OVER, tmp_path / "out", resume=True)
    assert list(found) == ["channel_weight=0.1", "channel_weight=2"]
    assert json.loads((tmp_path / "out" / "results.json").read_text()).keys() == found.keys()
    assert (tmp_path / "out" / "frontier.json").exists()
    assert (tmp_path / "out" / "channel_weight=0.1" / "last.ckpt").stat().st_mtime_ns == first, "not trained again"


@pytest.mark.broad
def test_a_point_that_fails_does_not_end_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sweeping, "run_recipe", lambda *args, run=sweeping.run_recipe, **options: run(*args, progress=False, **options)
    )
    said = []
    with pytest.raises(RunError, match=r"sweep: 1 of 2 points failed, the first at lr=1e30: loss: not finite"):
        sweep(RECIPE, ["optimizer.lr=1e30,0.1"], tmp_path / "out", note=said.append)
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())) == ["lr=0.1"]
    assert [line.partition(":")[0] for line in said] == ["lr=1e30", "lr=0.1"]


@pytest.mark.broad
def test_side_by_side_points_come_to_what_they_come_to_one_by_one(tmp_path):
    (tmp_path / "small.yaml").write_text(sweeping.to_yaml(RECIPE))
    found = []
    for jobs in ("1", "2"):
        arguments = (
            "sweep",
            "small.yaml",
            "--over",
            *OVER,
            "epochs=1",
            "--out",
            f"out{jobs}",
            "--jobs",
            jobs,
            "--json",
        )
        done = subprocess.run(command(*arguments), cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append({name: (one["accuracy"], one["macs"]) for name, one in json.loads(done.stdout).items()})
    assert found[0] == found[1] and len(found[0]) == 2
