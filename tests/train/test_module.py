from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from sluicegate.convert import GatedModel
from sluicegate.data import ImageSet
from sluicegate.errors import InputError, RunError
from sluicegate.train import (
    AugmentRecipe,
    DataRecipe,
    ImageSets,
    MethodRecipe,
    NetRecipe,
    OptimizerRecipe,
    Recipe,
    build_subject,
    run,
)
from sluicegate.train.module import Classifier, build_optimizer, rate_factor

DLCG = MethodRecipe("dlcg", {"layer_weight": 0.05, "channel_weight": 0.1})
RECIPE = Recipe(
    "small",
    DataRecipe("digits", batch_size=8, limit_train=32, limit_test=20),
    NetRecipe("resnet8", {"width": 0.25}),
    DLCG,
    OptimizerRecipe(lr=0.1, weight_decay=5e-4, gate_lr_scale=0.5),
    epochs=1,
    accelerator="cpu",
)


def images(count=32):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 1, 32, 32), dtype=torch.uint8, generator=generator)
    return ImageSet(pixels, torch.arange(count) % 10, tuple("0123456789"), (0.5,), (0.25,))


def test_gates_are_a_group_of_their_own_without_weight_decay():
    subject = build_subject(RECIPE, images())
    assert isinstance(subject.net, GatedModel)
    network, gates = build_optimizer(subject, RECIPE.optimizer).param_groups
    assert (network["weight_decay"], network["lr"]) == (5e-4, 0.1)
    assert (gates["weight_decay"], gates["lr"]) == (0.0, 0.05)
    assert network["nesterov"] and gates["nesterov"]
    assert {id(p) for p in gates["params"]} == {id(p) for p in subject.net.gate_parameters()}
    everything = [id(p) for group in (network, gates) for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in subject.net.parameters())


def test_gates_decay_by_20_over_their_number():
    subject = build_subject(RECIPE, images())
    _, gates = build_optimizer(subject, replace(RECIPE.optimizer, gate_weight_decay="per_gate")).param_groups
    assert gates["weight_decay"] == pytest.approx(5e-4 * 20 / (3 + 4 + 8 + 16))  # layers and channels


def test_a_dense_network_has_one_group():
    subject = build_subject(replace(RECIPE, method=MethodRecipe("dense")), images())
    (network,) = build_optimizer(subject, RECIPE.optimizer).param_groups
    assert len(network["params"]) == len(list(subject.net.parameters()))


def test_step_divides_by_ten_at_the_papers_epochs():
    factor = rate_factor(OptimizerRecipe())
    rates = [factor(epoch / 400) for epoch in (0, 199, 200, 299, 300, 374, 375, 399)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_cosine_falls_to_zero():
    factor = rate_factor(OptimizerRecipe(schedule="cosine"))
    assert [factor(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_polynomial_falls_as_batch_shaping_says():
    factor = rate_factor(OptimizerRecipe(schedule="polynomial", power=0.9))
    assert [factor(step / 150_000) for step in (0, 75_000, 150_000)] == pytest.approx([1, 0.5**0.9, 0])


def test_gates_decay_by_a_number_of_their_own():
    subject = build_subject(RECIPE, images())
    _, gates = build_optimizer(subject, replace(RECIPE.optimizer, gate_weight_decay=1e-6)).param_groups
    assert gates["weight_decay"] == 1e-6
    with pytest.raises(InputError, match=r"optimizer\.gate_weight_decay: -1 is below 0"):
        OptimizerRecipe(gate_weight_decay=-1)


def test_one_cycle_climbs_then_falls():
    factor = rate_factor(OptimizerRecipe(schedule="one-cycle"))
    assert [factor(p) for p in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])


def test_warm_ups_climb_on_top_of_the_schedule_each_for_its_group():
    recipe = OptimizerRecipe(schedule="cosine", warm_up=0.5)
    plain, climbing = rate_factor(recipe), rate_factor(recipe, 0.5, total=4)
    assert [climbing(p) / plain(p) for p in (0, 0.25, 0.5, 0.75)] == pytest.approx([0.5, 1, 1, 1])
    subject = build_subject(RECIPE, images())
    groups = build_optimizer(subject, OptimizerRecipe(warm_up=0.1, gate_warm_up=0.2)).param_groups
    assert [group["warm_up"] for group in groups] == [0.1, 0.2]


def test_adamw_stands_beside_sgd():
    subject = build_subject(RECIPE, images())
    optimizer = build_optimizer(subject, OptimizerRecipe(kind="adamw", lr=1e-3, gate_lr_scale=3, betas=(0.8, 0.9)))
    assert isinstance(optimizer, torch.optim.AdamW)
    network, gates = optimizer.param_groups
    assert (network["lr"], gates["lr"]) == pytest.approx((1e-3, 3e-3))
    assert network["betas"] == (0.8, 0.9)
    assert (network["weight_decay"], gates["weight_decay"]) == (5e-4, 0.0)


def test_gates_may_learn_nothing():
    network, gates = build_optimizer(build_subject(RECIPE, images()), OptimizerRecipe(gate_lr_scale=0)).param_groups
    assert network["lr"] == 0.1 and gates["lr"] == 0


def test_the_loss_is_cross_entropy_and_the_objective(monkeypatch):
    data = images()
    subject = build_subject(RECIPE, data)
    module = Classifier(subject, ImageSets(data, data), RECIPE)
    monkeypatch.setattr(Classifier, "progress", 0.0)
    monkeypatch.setattr(Classifier, "global_step", 0)
    monkeypatch.setattr(Classifier, "log_dict", lambda *args, **kwargs: None)
    torch.manual_seed(1)
    loss = module.training_step((data.images, data.labels), 1)
    torch.manual_seed(1)
    output, gates = subject.run(module.prepare(data.images))
    assert subject.objective is not None
    torch.testing.assert_close(loss, cross_entropy(output, data.labels) + subject.objective(gates, 0.0))


def test_a_batch_larger_than_the_data_is_refused():
    recipe = replace(RECIPE, data=replace(RECIPE.data, batch_size=64))
    with pytest.raises(InputError, match=r"data\.batch_size: 64 .* 32"):
        Classifier(build_subject(recipe, images()), ImageSets(images(), images()), recipe)


def test_a_nan_loss_ends_the_run_and_leaves_no_checkpoint(tmp_path):
    recipe = replace(RECIPE, optimizer=OptimizerRecipe(lr=1e30), epochs=2)
    with pytest.raises(RunError, match=r"^loss: not finite at epoch 1, step [2-4], .* optimizer\.lr \(1e\+30\)$"):
        run(recipe, tmp_path / "run", progress=False)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["data.json", "recipe.yaml"]


@pytest.mark.parametrize("method", [MethodRecipe("dense"), DLCG], ids=lambda method: method.name)
def test_a_network_that_comes_in_evaluation_mode_is_trained_as_any_other(method, monkeypatch, tmp_path):
    (tmp_path / "still.py").write_text(
        "from sluicegate.nets import build_net\n"
        "def small(classes=10, in_channels=1):\n"
        "    return build_net('resnet8', width=0.25, classes=classes, in_channels=in_channels).eval()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = replace(RECIPE, net=NetRecipe("still:small"), method=method)
    run(recipe, tmp_path / "run", progress=False)
    run(replace(recipe, net=RECIPE.net), tmp_path / "usual", progress=False)
    found, usual = (load_file(tmp_path / name / "final.safetensors") for name in ("run", "usual"))
    assert found.keys() == usual.keys()
    assert all(torch.equal(found[name], usual[name]) for name in found)


@pytest.mark.broad
def test_frozen_batch_norm_keeps_its_statistics(tmp_path):
    recipe = replace(RECIPE, batch_norm="frozen", data=replace(RECIPE.data, augment=AugmentRecipe(2, True)))
    run(recipe, tmp_path / "frozen", progress=False)
    run(replace(recipe, batch_norm="train"), tmp_path / "train", progress=False)
    means = {}
    for name in ("frozen", "train"):
        state = torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
        means[name] = torch.cat([tensor for key, tensor in state.items() if key.endswith("running_mean")])
    assert means["frozen"].eq(0).all()
    assert means["train"].ne(0).any()
