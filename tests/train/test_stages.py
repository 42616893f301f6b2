import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sluicegate.errors import InputError
from sluicegate.train import (
    DataRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    StageRecipe,
    from_yaml,
    load_run,
    run_recipe,
    to_yaml,
)
from sluicegate.train.stages import stage_recipes

STAGES = (
    StageRecipe("backbone", {"method": {"name": "dense"}}),
    StageRecipe("joint", {"net.weights": "stage:backbone", "epochs": 2, "optimizer.lr": 0.01}),
)
RECIPE = Recipe(
    "small",
    DataRecipe("digits", batch_size=8, limit_train=32, limit_test=20),
    NetRecipe("resnet8", {"width": 0.25}),
    MethodRecipe("dlcg"),
    OptimizerRecipe(lr=0.1),
    epochs=1,
    accelerator="cpu",
    stages=STAGES,
)


def test_yaml_there_and_back():
    assert from_yaml(to_yaml(RECIPE)) == RECIPE


def test_a_stage_is_the_recipe_with_its_changes(tmp_path):
    backbone, joint = stage_recipes(RECIPE, tmp_path).items()
    assert backbone == (
        tmp_path / "stages" / "backbone",
        replace(RECIPE, name="small-backbone", method=MethodRecipe("dense"), stages=()),
    )
    assert joint[0] == tmp_path
    assert joint[1].net.weights == str(tmp_path / "stages" / "backbone" / "final.safetensors")
    assert (joint[1].epochs, joint[1].optimizer.lr, joint[1].name) == (2, 0.01, "small")


def test_each_stage_starts_where_the_one_before_ended(tmp_path, monkeypatch):
    started = {}
    from sluicegate.train import build

    plain = build.load_weights

    def load_weights(net, path, **options):
        plain(net, path, **options)
        started[str(path)] = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    monkeypatch.setattr(build, "load_weights", load_weights)
    result = run_recipe(RECIPE, tmp_path / "run", progress=False)
    assert result.epochs == 2 and "layer" in result.open_rate
    (path,) = started
    final = load_file(path)
    assert all(torch.equal(started[path][name], final[name]) for name in final)
    assert all(torch.equal(load_run(tmp_path / "run/stages/backbone")[1].state_dict()[n], final[n]) for n in final)
    assert load_run(tmp_path / "run")[0].method.name == "dlcg", "the folder is the last stage's run"


@pytest.mark.broad
def test_the_gated_network_goes_on_from_stage_to_stage(tmp_path):
    stages = (
        StageRecipe("supervised", {}),
        StageRecipe("policy", {"start": "stage:supervised", "optimizer.lr": 1e-9, "optimizer.weight_decay": 0}),
    )
    run_recipe(replace(RECIPE, stages=stages, batch_norm="frozen"), tmp_path / "run", progress=False)
    first, second = (load_run(tmp_path / one)[1].state_dict() for one in ("run/stages/supervised", "run"))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.broad
def test_resumed_finished_stages_are_not_trained_again(tmp_path):
    run_recipe(RECIPE, tmp_path / "run", progress=False)
    backbone = tmp_path / "run" / "stages" / "backbone" / "result.json"
    marked = json.loads(backbone.read_text()) | {"command": "kept"}
    backbone.write_text(json.dumps(marked))
    for path in (tmp_path / "run").iterdir():
        if path.is_file() and path.name not in ("stages.yaml", "data.json"):
            path.unlink()  # as if it was cut off between the stages
    run_recipe(RECIPE, tmp_path / "run", resume=True, progress=False)
    assert json.loads(backbone.read_text())["command"] == "kept"
    assert (tmp_path / "run" / "result.json").exists()


def test_a_staged_run_is_neither_overwritten_nor_continued_by_another_recipe(tmp_path):
    run_recipe(RECIPE, tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="holds a run already"):
        run_recipe(RECIPE, tmp_path / "run", progress=False)
    with pytest.raises(InputError, match=r"another recipe; give the one in its stages\.yaml"):
        run_recipe(replace(RECIPE, seed=5), tmp_path / "run", resume=True, progress=False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"net.weights": "stage:joint"}, "stages: late wants 'stage:joint', but before it come only: early"),
        ({"optimizer.rate": 1}, "stages: late: .*rate"),
        ({"epochs": "many"}, "stages: late: .*many"),
        ({"epochs": 0}, "epochs: 0"),
    ],
)
def test_a_bad_stage_is_refused_before_any_is_trained(changes, named, tmp_path):
    stages = (StageRecipe("early", {}), StageRecipe("late", changes))
    with pytest.raises(InputError, match=named) as refusal:
        run_recipe(replace(RECIPE, stages=stages), tmp_path / "run", progress=False)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_names_of_stages_are_checked():
    with pytest.raises(InputError, match=r"stages: '\.\./out' is no name"):
        StageRecipe("../out")
    with pytest.raises(InputError, match="stages: a changes 'stages'"):
        StageRecipe("a", {"stages": []})
    with pytest.raises(InputError, match="stages: 'a' is there twice"):
        replace(RECIPE, stages=(StageRecipe("a"), StageRecipe("a")))
