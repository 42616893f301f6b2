import pytest

from sluicegate.errors import InputError
from sluicegate.recipes import dlcg, paper, recipe, recipes
from sluicegate.train import build_method, from_yaml, to_yaml

KINDS = ("dlcg", "channel", "aig", "dense")


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


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'dlcg-resnet20-cifar100' .* did you mean 'dlcg-resnet20-cifar10'"):
        recipe("dlcg-resnet20-cifar100")
    with pytest.raises(InputError, match="'squeezenet' is not known; known: dlcg"):
        paper("squeezenet")
