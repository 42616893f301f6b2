from dataclasses import replace

import pytest

from sluicegate.errors import InputError
from sluicegate.train.recipe import (
    AugmentRecipe,
    BudgetRecipe,
    DataRecipe,
    DistillationRecipe,
    FitRecipe,
    LatencyRecipe,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    StageRecipe,
    from_yaml,
    override,
    read_recipe,
    to_yaml,
)

FULL = Recipe(
    name="all",
    data=DataRecipe("cifar10", batch_size=128, augment=AugmentRecipe(4, True), limit_train=1000, size=32),
    net=NetRecipe("resnet20", {"width": 2, "shortcut": "B"}, weights="dense.safetensors"),
    method=MethodRecipe("dlcg", {"layer_weight": 0.05, "channel_weight": "linear(0, 0.1)", "targets": [0.5, 1.0]}),
    optimizer=OptimizerRecipe(lr=0.05, nesterov=False, schedule="cosine", milestones=(0.25, 0.5)),
    batch_norm="frozen",
    epochs=7,
    seed=3,
    precision="bf16-mixed",
    accelerator="gpu",
    devices="0,1",
    num_nodes=2,
    strategy="ddp",
    latency=LatencyRecipe("table.json", 0.5, weight=2.0, tighten=0.3, shape="cosine"),
    start="gated.safetensors",
    budget=BudgetRecipe(macs=0.5, start=0.8, shape="cosine", free="below"),
    distillation=DistillationRecipe(0.9, 2.0, "resnet56", "teacher.safetensors", {"shortcut": "B"}),
    fit=FitRecipe(steps=200, open_rate=0.7, softness=0.3),
    label_smoothing=0.1,
    average=0.999,
    stages=(StageRecipe("first", {"optimizer.lr": 0.1}), StageRecipe("second", {"start": "stage:first"})),
)
SMALL = Recipe("small", DataRecipe("digits"), NetRecipe("resnet8"))


@pytest.mark.parametrize("recipe", [FULL, SMALL])
def test_yaml_there_and_back(recipe):
    assert from_yaml(to_yaml(recipe)) == recipe


def test_defaults_fill_what_yaml_leaves_out():
    assert from_yaml("{name: small, data: {name: digits}, net: {name: resnet8}}") == SMALL


def test_overrides_reach_every_depth():
    changed = override(
        FULL,
        [
            "epochs=3",
            "optimizer.lr=0.2",
            "data.augment.flip=false",
            "method.options.layer_weight=0.2",
            "devices=2",
        ],
    )
    assert changed == replace(
        FULL,
        epochs=3,
        devices=2,
        data=replace(FULL.data, augment=AugmentRecipe(4, False)),
        optimizer=replace(FULL.optimizer, lr=0.2),
        method=MethodRecipe("dlcg", {**FULL.method.options, "layer_weight": 0.2}),
    )


def test_overriding_epochs_keeps_the_milestones():
    assert override(FULL, ["epochs=3"]).optimizer.milestones == FULL.optimizer.milestones


@pytest.mark.cases(12)
@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("epoch=3", "epoch"),
        ("optimizer.rate=1", "optimizer.rate"),
        ("epochs=many", "many"),
        ("epochs=0", "epochs: 0"),
        ("epochs=1.5", "1.5"),
        ("optimizer.lr=-1", "optimizer.lr: -1"),
        ("optimizer.lr=.nan", "optimizer.lr: nan"),
        ("optimizer.schedule=linear", "linear"),
        ("optimizer.milestones=[200, 300]", "fractions"),
        ("optimizer.momentum=1", "optimizer.momentum: 1"),
        ("data.batch_size=0", "data.batch_size: 0"),
        ("data.limit_train=0", "data.limit_train: 0"),
        ("recalibration=-1", "recalibration: -1"),
        ("recalibration=1", "recalibration: 1 batches with batch_norm frozen"),
        ("precision=8", "8"),
        ("data.workers=-1", "data.workers: -1"),
        ("data.augment.jitter=0.4", "data.augment.jitter: 0.4 needs data.workers"),
        ("data.augment.crop_scale=[0.1, 1]", "data.augment.crop_scale: (0.1, 1.0) needs data.workers"),
        ("data.augment.rand_augment=9", "data.augment.rand_augment: 9 needs data.workers"),
        ("optimizer.warm_up=1", "optimizer.warm_up: 1.0"),
        ("optimizer.gate_warm_up=-1", "optimizer.gate_warm_up: -1"),
        ("optimizer.betas=[0.9, 1]", "optimizer.betas: [0.9, 1"),
        ("optimizer.kind=lion", "lion"),
        ("budget.macs=0", "budget.macs: 0"),
        ("budget.rate=0.5", "budget: macs 0.5 and rate 0.5"),
        ("budget.start=1.5", "budget.start: 1.5"),
        ("budget.tighten=2", "budget.tighten: 2"),
        ("latency.tighten=2", "latency.tighten: 2"),
        ("distillation.weight=1.5", "distillation.weight: 1.5"),
        ("distillation.temperature=0", "distillation.temperature: 0"),
        ("distillation.teacher_weights=null", "distillation: teacher resnet56, teacher_weights None"),
        ("fit.open_rate=1", "fit.open_rate: 1"),
        ("fit.steps=-1", "fit.steps: -1"),
        ("label_smoothing=1", "label_smoothing: 1"),
        ("average=1", "average: 1"),
        ("data.holdout=0", "data.holdout: 0"),
        ("epochs", "key=value"),
    ],
)
def test_a_bad_override_is_one_line_that_names_it(assignment, named):
    with pytest.raises(InputError) as refusal:
        override(FULL, [assignment])
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: [", "not YAML"),
        ("just text", "mapping"),
        ("{name: x, net: {name: resnet8}}", "data"),
        ("{name: x, data: {name: digits}, net: {name: resnet8}, colour: red}", "colour"),
        ("{name: x, data: {name: digits, batch_size: big}, net: {name: resnet8}}", "big"),
    ],
)
def test_bad_yaml_is_one_line_that_names_the_file(text, named, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml") as refusal:
        read_recipe(path)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml"):
        read_recipe(tmp_path / "absent.yaml")
