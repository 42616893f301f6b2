from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from sluicegate import methods
from sluicegate.convert import GatedModel
from sluicegate.data import ImageSet
from sluicegate.errors import InputError
from sluicegate.gates import GateRecords
from sluicegate.nets import build_net
from sluicegate.schedule import linear
from sluicegate.train import (
    AugmentRecipe,
    DataRecipe,
    DistillationRecipe,
    FitRecipe,
    LatencyRecipe,
    MethodRecipe,
    NetRecipe,
    Recipe,
    build_method,
    build_subject,
    load_split,
)


def images(channels=1, classes=4):
    pixels = torch.zeros(classes, channels, 32, 32, dtype=torch.uint8)
    names = tuple("abcdefgh"[:classes])
    return ImageSet(pixels, torch.arange(classes), names, (0.5,) * channels, (0.25,) * channels)


def recipe(method="dlcg", **net):
    return Recipe("small", DataRecipe("digits"), NetRecipe("resnet8", **net), MethodRecipe(method))


@pytest.mark.parametrize("name", ["dense", "dlcg", "channel_only", "convnet_aig"])
def test_every_preset_is_a_method(name):
    assert build_method(MethodRecipe(name)).name == getattr(methods, name)().name


def test_text_for_a_weight_is_a_schedule(monkeypatch):
    seen = {}
    preset = methods.dlcg

    def dlcg(layer_weight: methods.Weight = 0.0, channel_weight: methods.Weight = 0.0) -> methods.Method:
        seen.update(layer_weight=layer_weight, channel_weight=channel_weight)
        return preset()

    monkeypatch.setitem(methods.PRESETS, "dlcg", dlcg)
    build_method(MethodRecipe("dlcg", {"layer_weight": "linear(0, 0.1)", "channel_weight": 0.2}))
    assert seen == {"layer_weight": linear(0, 0.1), "channel_weight": 0.2}


@pytest.mark.parametrize(
    ("method", "named"),
    [
        (MethodRecipe("skip"), "'skip' is not a method; known: dense, dlcg"),
        (MethodRecipe("dlcg", {"lambda": 1}), "lambda"),
        (MethodRecipe("dlcg", {"lambda": "linear(0, 1)"}), "lambda"),
        (MethodRecipe("dlcg", {"layer_weight": "much"}), "method.options.layer_weight: schedule: 'much'"),
        (MethodRecipe("dlcg", {"layer_weight": None}), "method.options.layer_weight: schedule: 'None'"),
        (MethodRecipe("dlcg", {"layer_weight": "linear(0)"}), "linear"),
        (MethodRecipe("dlcg", {"reduction": "median"}), "median"),
    ],
)
def test_a_bad_method_is_named_in_one_line(method, named):
    with pytest.raises(InputError) as refusal:
        build_method(method)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_network_fits_the_images():
    subject = build_subject(recipe(), images(channels=1, classes=4))
    assert isinstance(subject.net, GatedModel)
    output, gates = subject.run(torch.zeros(2, 1, 32, 32))
    assert output.shape == (2, 4)
    assert subject.image_macs(gates, torch.zeros(2)).dtype == torch.int64


def test_a_dense_network_costs_the_same_for_each_image():
    subject = build_subject(recipe("dense"), images())
    output, gates = subject.run(torch.zeros(3, 1, 32, 32))
    assert gates == GateRecords()
    assert subject.image_macs(gates, output).tolist() == [subject.macs.dense] * 3


def test_the_seed_fixes_the_weights():
    first, second = (build_subject(recipe(), images()).net.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_gated_network_starts_from_dense_weights(tmp_path):
    dense = build_subject(recipe("dense"), images()).net
    torch.nn.init.constant_(dense.get_parameter("conv1.weight"), 0.5)
    save_file(dense.state_dict(), tmp_path / "dense.safetensors")
    gated = build_subject(recipe(weights=str(tmp_path / "dense.safetensors")), images()).net
    assert gated.get_parameter("network.conv1.weight").eq(0.5).all()


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(build_subject(recipe("dense"), images(classes=5)).net.state_dict(), tmp_path / "five.safetensors")
    with pytest.raises(InputError, match=r"five\.safetensors.*'linear\.weight' has shape \[5, 64\]"):
        build_subject(recipe(weights=str(tmp_path / "five.safetensors")), images())


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_unreadable_weights_are_refused(content, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors.* cannot be read") as refusal:
        build_subject(recipe(weights=str(path)), images())
    assert "\n" not in str(refusal.value)


class Table:
    """Stands in for a latency model, in which every image takes what a test says."""

    dense, closed = 2.0, 0.5

    def __init__(self, gated, table):
        self.table = table

    def milliseconds(self, gates):
        return torch.full((2,), 1.5)


@pytest.mark.broad
def test_milliseconds_are_added_to_the_methods_objective(monkeypatch):
    monkeypatch.setattr("sluicegate.train.budget.LatencyTable.load", lambda path: path)
    monkeypatch.setattr("sluicegate.train.budget.LatencyModel", Table)
    made = replace(recipe(), latency=LatencyRecipe("table.json", 1.0, weight=3.0))
    plain, aimed = (build_subject(one, images()) for one in (recipe(), made))
    _, gates = aimed.run(torch.zeros(2, 1, 32, 32))
    assert plain.objective is not None and aimed.objective is not None
    extra = aimed.objective(gates, 0.0) - plain.objective(gates, 0.0)
    assert extra.item() == pytest.approx(3 * ((1.5 - 1) / 2) ** 2)
    kept = build_subject(replace(made, latency=LatencyRecipe("gone.json", 1.0)), images(), read_files=False)
    assert kept.objective is not None, "a run is loaded without its table"


def test_milliseconds_are_no_target_without_gates():
    made = replace(recipe("dense"), latency=LatencyRecipe("table.json", 1.0))
    with pytest.raises(InputError, match=r"latency\.ms: 1 cannot be a target: the network has no gates"):
        build_subject(made, images())


def test_a_missing_table_is_named():
    with pytest.raises(InputError, match=r"table: 'gone\.json' is no latency table"):
        build_subject(replace(recipe(), latency=LatencyRecipe("gone.json", 1.0)), images())


def test_a_gater_starts_from_dense_weights_of_its_own(tmp_path):
    pretrained = build_net("resnet8", in_channels=1, classes=7)
    save_file(pretrained.state_dict(), tmp_path / "gater.safetensors")
    options = {"gater": "resnet8", "gater_options": {"in_channels": 1}}
    options["gater_weights"] = str(tmp_path / "gater.safetensors")
    made = Recipe("small", DataRecipe("digits"), NetRecipe("resnet8"), MethodRecipe("gaternet", options))
    conv = "network.gates.gater.conv1.weight"
    weights = [build_subject(made, images(), read).net.state_dict()[conv] for read in (True, False)]
    equal = [torch.equal(weight, pretrained.state_dict()["conv1.weight"]) for weight in weights]
    assert equal == [True, False]


def test_a_gater_refuses_the_weights_of_another_network(tmp_path):
    save_file(build_net("resnet14", in_channels=1).state_dict(), tmp_path / "other.safetensors")
    options = {"gater": "resnet20", "gater_options": {"in_channels": 1}}
    options["gater_weights"] = str(tmp_path / "other.safetensors")
    made = Recipe("small", DataRecipe("digits"), NetRecipe("resnet8"), MethodRecipe("gaternet", options))
    with pytest.raises(InputError, match=r"other.safetensors' does not fit the network: it lacks 'layer1.2"):
        build_subject(made, images())


def pictures(images):
    """What the images look like, without their order."""
    return {image.numpy().tobytes() for batch, _ in images.batches(100) for image in batch}


@pytest.mark.parametrize("workers", [None, 0])
def test_held_out_images_are_not_trained_on(workers):
    whole = load_split(DataRecipe("digits"), "train", None)
    made = DataRecipe("digits", holdout=300, limit_test=100, workers=workers)
    train, held = (load_split(made, split, None) for split in ("train", "test"))
    assert (len(train), len(held)) == (len(whole) - 300, 100)
    keys = [pictures(train), pictures(held)]
    assert not keys[0] & keys[1], "an image is in both"
    assert keys[0] | keys[1] <= pictures(whole)
    with pytest.raises(InputError, match=r"data\.holdout: 5000 must be less than the 1442 training images"):
        load_split(DataRecipe("digits", holdout=5000), "train", None)


def test_only_training_images_are_augmented_by_workers():
    drawn = AugmentRecipe(flip=True, crop_scale=(0.2, 0.5))
    for holdout in (None, 50):
        made = DataRecipe("digits", workers=0, holdout=holdout, augment=drawn, limit_train=200, limit_test=20)
        plain = replace(made, augment=AugmentRecipe())
        train, test, plain_train, plain_test = (
            pictures(load_split(one, split, None)) for one in (made, plain) for split in ("train", "test")
        )
        assert test == plain_test and train != plain_train


def test_mean_and_std_can_be_anothers():
    named, given = (
        load_split(DataRecipe("digits", normalize=n, limit_test=9), "test", None) for n in ("mnist", "0.5/2")
    )
    assert (named.mean, named.std) == ((0.1307,), (0.3081,))
    assert (given.mean, given.std) == ((0.5,), (2.0,))
    for text, word in {
        "0.5/x": "is not none",
        "imagenet": "is not of 1 channels",
        "1,1/2,2": "is not of 1 channels",
    }.items():
        with pytest.raises(InputError, match=f"'{text}' {word}"):
            load_split(DataRecipe("digits", normalize=text), "test", None)


@pytest.mark.broad
def test_the_teacher_is_the_network_as_it_came_or_the_one_that_is_named(tmp_path):
    dense = build_subject(recipe("dense"), images()).net
    torch.nn.init.constant_(dense.get_parameter("conv1.weight"), 0.5)
    save_file(dense.state_dict(), tmp_path / "dense.safetensors")
    own = replace(recipe(weights=str(tmp_path / "dense.safetensors")), distillation=DistillationRecipe(0.5, 3.0))
    told = build_subject(own, images()).distillation
    assert told is not None and (told.weight, told.temperature) == (0.5, 3.0)
    assert told.teacher.get_parameter("conv1.weight").eq(0.5).all()
    save_file(build_net("resnet14", in_channels=1, classes=4).state_dict(), tmp_path / "other.safetensors")
    named = build_subject(
        replace(own, distillation=DistillationRecipe(0.5, 4.0, "resnet14", str(tmp_path / "other.safetensors"))),
        images(),
    ).distillation
    assert named is not None and len(list(named.teacher.parameters())) > len(list(told.teacher.parameters()))
    assert build_subject(own, images(), read_files=False).distillation is None, "a run is loaded without its teacher"
    with pytest.raises(
        InputError, match=r"distillation: the network is its own teacher, but net\.weights is not given"
    ):
        build_subject(replace(recipe(), distillation=DistillationRecipe(0.5)), images())


def test_training_starts_from_a_gated_networks_weights(tmp_path):
    first = build_subject(recipe(), images()).net
    torch.nn.init.constant_(first.get_parameter("network.conv1.weight"), 0.5)
    save_file(first.state_dict(), tmp_path / "gated.safetensors")
    started = replace(recipe(), start=str(tmp_path / "gated.safetensors"), seed=4)
    again = build_subject(started, images()).net.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.state_dict().items())


def test_gates_are_fitted_only_where_there_are_any():
    with pytest.raises(InputError, match=r"fit\.steps: 5, but the network has no gates to fit"):
        build_subject(replace(recipe("dense"), fit=FitRecipe(steps=5)), images())
