from dataclasses import replace

import pytest

from sluicegate.errors import InputError
from sluicegate.recipes import dlcg, paper, recipe, recipes
from sluicegate.train import build_method, from_yaml, to_yaml
from sluicegate.train.module import rate_factor
from sluicegate.train.stages import stage_recipes

KINDS = ("dlcg", "channel", "aig", "dense")


@pytest.mark.cases(20)
@pytest.mark.parametrize("name", recipes())
def test_every_recipe_goes_by_its_name_and_survives_yaml(name):
    made = recipe(name)
    assert made.name == name
    assert from_yaml(to_yaml(made)) == made
    assert (build_method(made.method).gating is None) == (made.method.name == "dense")


def test_the_published_series_are_there():
    wanted = [f"{kind}-resnet20-{data}" for kind in KINDS for data in ("cifar10", "mnist", "fashion_mnist")]
    wanted += [f"dlcg-resnet20-cifar10-row{row}" for row in range(1, 10)]
    wanted += ["dense-resnet14-cifar10"]
    assert set(wanted) <= set(recipes())


def test_cifar_is_trained_as_the_paper_says():
    made = recipe("dlcg-resnet20-cifar10")
    optimizer = made.optimizer
    assert (made.epochs, made.data.batch_size, optimizer.lr, optimizer.weight_decay) == (400, 256, 0.1, 5e-4)
    assert optimizer.nesterov
    assert optimizer.schedule == "step"
    assert [at * made.epochs for at in optimizer.milestones] == [200, 300, 375]
    assert made.data.augment.flip
    assert made.data.augment.pad_crop > 0
    assert made.method.options == {"layer_weight": 0.05, "channel_weight": 0.10}


def test_stochastic_gates_decay_by_their_number():
    for name in ("stochastic_gates-resnet110-cifar10", "stochastic_gates-resnet56-cifar10-pruning"):
        assert recipe(name).optimizer.gate_weight_decay == "per_gate"


def test_digits_are_not_mirrored():
    assert not recipe("dlcg-resnet20-mnist").data.augment.flip


@pytest.mark.parametrize(("number", "row"), list(enumerate(dlcg.TABLE_1, 1)))
def test_a_row_is_trained_with_its_weights(number, row):
    options = recipe(f"dlcg-resnet20-cifar10-row{number}").method.options
    assert options == {"layer_weight": row.layer_weight, "channel_weight": row.channel_weight}


def test_table_1_is_drawn_as_the_papers():
    series = paper("dlcg")
    assert series.role == "paper"
    assert [point.accuracy for point in series.points] == pytest.approx([row.accuracy / 100 for row in dlcg.TABLE_1])
    assert [point.macs for point in series.points] == pytest.approx([row.gmac * 1e9 for row in dlcg.TABLE_1])


@pytest.mark.parametrize(
    ("net", "at", "epochs", "alone", "batch"),
    [("densenet_bc100_k12", "growth", 320, 300, 64), ("shake_shake26_2x96d", None, 1830, 1800, 128)],
)
def test_gaternet_trains_table_2_longer_and_with_dropout_of_gates(net, at, epochs, alone, batch, tmp_path):
    backbone, gater, joint = stage_recipes(recipe(f"gaternet-staged-{net}-cifar10"), tmp_path).values()
    assert joint.method.options.get("at") == at and joint.method.options["dropout"] == "linear(0, 0.05)"
    assert (joint.epochs, joint.optimizer.lr, joint.data.batch_size) == (epochs, 0.05, batch)
    assert (backbone.epochs, backbone.data.batch_size) == (alone, batch)
    assert backbone.optimizer == recipe(f"gaternet-pretrain-{net}-cifar10").optimizer
    small = recipe("gaternet-pretrain-resnet20-cifar10")
    assert (gater.net.name, gater.epochs, gater.data.batch_size) == ("resnet20", small.epochs, 128)
    assert gater.optimizer == small.optimizer


def test_gaternet_starts_from_a_backbone_and_a_gater_trained_apart(tmp_path):
    backbone, gater, joint = stage_recipes(recipe("gaternet-staged-resnet164-cifar10"), tmp_path).items()
    assert (backbone[1].method.name, gater[1].method.name, joint[1].method.name) == ("dense", "dense", "gaternet")
    assert (backbone[1].net.name, gater[1].net.name) == ("preact_resnet164", "resnet20")
    assert backbone[1].seed != gater[1].seed
    assert joint[1].net.weights == str(backbone[0] / "final.safetensors")
    assert joint[1].method.options["gater_weights"] == str(gater[0] / "final.safetensors")


@pytest.mark.parametrize("kind", ["resnet38-cifar10", "resnet14-digits"])
def test_skipnet_in_two_stages_is_skipnet_in_one(kind, tmp_path):
    whole = recipe(f"skipnet-{kind}")
    (_, first), (_, second) = stage_recipes(recipe(f"skipnet-staged-{kind}"), tmp_path).items()
    assert first.epochs + second.epochs == whole.epochs
    begin = whole.method.options["begin"]
    assert first.epochs / whole.epochs == pytest.approx(begin, abs=1 / whole.epochs)
    assert (first.method.options["begin"], second.method.options["begin"]) == (1.0, 0.0)
    last = begin + 0.99 * (1 - begin)
    for one, at, in_whole in (
        (first, 0.0, 0.0),
        (first, 0.99, 0.99 * begin),
        (second, 0.0, begin),
        (second, 0.99, last),
    ):
        rate = rate_factor(one.optimizer)(at) * one.optimizer.lr
        assert rate == pytest.approx(rate_factor(whole.optimizer)(in_whole) * whole.optimizer.lr)


def test_a_static_baseline_differs_in_its_gates_alone():
    gated, static = (recipe(f"finetune-resnet20-cifar10-0.5{kind}") for kind in ("", "-static"))
    assert static.method.options == {**gated.method.options, "conditional": False}
    same = replace(static, name=gated.name, method=gated.method, fit=gated.fit)
    assert same == gated
    assert gated.data.normalize == "imagenet" and gated.budget.macs == 0.5


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'dlcg-resnet20-cifar100' .* did you mean 'dlcg-resnet20-cifar10'"):
        recipe("dlcg-resnet20-cifar100")
    with pytest.raises(InputError, match="'squeezenet' is not known; known: dlcg"):
        paper("squeezenet")
