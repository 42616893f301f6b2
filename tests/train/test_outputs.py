import pytest
import torch

from sluicegate.data import load, stream
from sluicegate.errors import InputError
from sluicegate.train import DataRecipe, load_split
from sluicegate.train.outputs import as_outputs

PLACES = (3, 11, 0, 7, 19, 2, 5, 13, 17, 1)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_image_is_labelled_by_the_output_of_its_class(streamed):
    plain = stream("digits", "test", workers=0) if streamed else load("digits", "test")
    moved = as_outputs(plain, PLACES, 20)
    assert len(moved.classes) == 20
    assert [moved.classes[place] for place in PLACES] == list(plain.classes)
    assert moved.classes[4] == "output 4"
    for (images, labels), (same, places) in zip(plain.batches(100), moved.batches(100), strict=True):
        assert torch.equal(images, same)
        assert places.tolist() == [PLACES[label] for label in labels.tolist()]


def test_a_recipe_states_them():
    images = load_split(DataRecipe("digits", outputs=PLACES, output_count=20), "train", None)
    assert len(images.classes) == 20


@pytest.mark.parametrize(
    ("outputs", "count", "named"),
    [
        (PLACES[:9], 20, "must name another output for each of 10 classes"),
        ((*PLACES[:9], 3), 20, "must name another output for each of 10 classes"),
        (PLACES, 19, r"must lie in 0\.\.18"),
        ((*PLACES[:9], -1), 20, r"must lie in 0\.\.19"),
    ],
)
def test_outputs_that_are_not_are_refused(outputs, count, named):
    with pytest.raises(InputError, match=rf"data\.outputs: .* {named}"):
        as_outputs(load("digits", "test", limit=20), outputs, count)
    with pytest.raises(InputError, match="both must be given, or none"):
        DataRecipe("digits", outputs=PLACES)
