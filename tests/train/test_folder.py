"""What a run folder keeps, and what may differ when a run goes on."""

from dataclasses import replace

import pytest

from sluicegate.data import DataSpec
from sluicegate.errors import InputError
from sluicegate.files import write_json
from sluicegate.train import DataRecipe, MethodRecipe, NetRecipe, OptimizerRecipe, Recipe, read_run_spec
from sluicegate.train.folder import check_folder, check_spec, claim

RECIPE = Recipe("small", DataRecipe("digits"), NetRecipe("resnet8"), MethodRecipe("dlcg", {"layer_weight": 0.1}))
SPEC = DataSpec((3, 32, 40), ("grey cat", "日本"), (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))


@pytest.fixture
def begun(tmp_path):
    claim(tmp_path, RECIPE, SPEC)
    return tmp_path


def test_the_data_is_known_again(begun):
    assert read_run_spec(begun) == SPEC


def test_the_same_run_goes_on_and_a_longer_one(begun):
    check_folder(begun, RECIPE, resume=True)
    check_folder(begun, replace(RECIPE, epochs=RECIPE.epochs + 1), resume=True)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(RECIPE, epochs=399), "epochs is 399, and the run in .* has 400"),
        (replace(RECIPE, epochs=500, seed=1), "seed is 1, but 0 in the run"),
        (replace(RECIPE, data=DataRecipe("mnist")), "data.name is 'mnist', but 'digits' in the run"),
        (
            replace(RECIPE, optimizer=OptimizerRecipe(milestones=(0.5,))),
            r"optimizer.milestones is \[0.5\], but \[0.5, 0",
        ),
        (replace(RECIPE, method=MethodRecipe("dlcg")), "method.options.layer_weight is not given, but 0.1 in the run"),
        (
            replace(RECIPE, method=MethodRecipe("dlcg", {"layer_weight": 0.1, "targets": None})),
            "method.options.targets is None, but not given in the run",
        ),
    ],
)
def test_what_else_differs_is_named(other, named, begun):
    with pytest.raises(InputError, match=f"^resume: {named}"):
        check_folder(begun, other, resume=True)


def test_without_resume_a_run_is_left_alone(begun, tmp_path):
    with pytest.raises(InputError, match=r"^out: .* holds a run already; go on with --resume"):
        check_folder(begun, RECIPE, resume=False)
    check_folder(tmp_path / "new", RECIPE, resume=False)


def test_other_data_is_named_but_not_another_machine_s_rounding(begun):
    check_spec(begun, replace(SPEC, mean=tuple(figure * (1 + 1e-9) for figure in SPEC.mean)))
    for other, named in {
        replace(SPEC, shape=(3, 32, 32)): r"shape is \[3, 32, 32\], but \[3, 32, 40\]",
        replace(SPEC, classes=("日本", "grey cat")): "classes is ",
        replace(SPEC, std=(0.1, 0.2, 0.31)): "std is ",
    }.items():
        with pytest.raises(InputError, match=f"^resume: the data's {named}.*; give it the same data set$"):
            check_spec(begun, other)


def test_an_earlier_end_does_not_outlive_a_new_beginning(begun):
    for name in ("result.json", "final.safetensors", "model.sluice"):
        write_json(begun / name, {})
    claim(begun, RECIPE, SPEC)
    assert sorted(path.name for path in begun.iterdir()) == ["data.json", "recipe.yaml"]
