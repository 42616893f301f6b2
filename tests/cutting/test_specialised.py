"""The part of a network that some classes use."""

import numpy as np
import pytest
import torch
from random_gatings import tell_images_apart

import sluicegate as sg
from sluicegate.cutting import images_of, open_rates, used_only_by
from sluicegate.data import ImageSet
from sluicegate.nets import build_net

CLASSES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def data() -> ImageSet:
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(images, torch.arange(12) % 3, CLASSES, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def gated() -> sg.GatedModel:
    torch.manual_seed(0)
    net = build_net("resnet8", classes=3)
    gated = sg.gate_model(net, sg.ChannelGating(initial_open_rate=0.5), torch.zeros(1, 3, 16, 16)).eval()
    tell_images_apart(gated)
    return gated


@pytest.mark.parametrize("classes", [["ant"], ["cat", "ant"], [1, 2]])
def test_outputs_of_these_classes(gated: sg.GatedModel, data: ImageSet, classes: list[str | int]) -> None:
    numbers = sorted(CLASSES.index(one) if isinstance(one, str) else one for one in classes)
    part = sg.specialise(gated, data, classes)
    with torch.no_grad():
        for images in images_of(data, numbers):
            torch.testing.assert_close(part(images), gated(images)[:, numbers], rtol=1e-5, atol=1e-5)


def test_plain_has_no_gates(gated: sg.GatedModel, data: ImageSet) -> None:
    part = sg.specialise(gated, data, ["bee"], plain=True)
    assert not isinstance(part, sg.GatedModel)
    assert part(torch.zeros(2, 3, 16, 16)).shape == (2, 1)
    macs = sg.MacModel(part, torch.zeros(1, 3, 16, 16)).dense
    assert macs < gated.macs.dense


def test_rates_are_those_of_each_class(gated: sg.GatedModel, data: ImageSet) -> None:
    rates = open_rates(gated, data)
    with torch.no_grad():
        for images in images_of(data, [1]):
            gates = gated(images, return_gates=True).gates
    for name, record in gates.items():
        np.testing.assert_allclose(rates[name][1], record.open.mean(0))


def test_used_only_by() -> None:
    rates = {"a": np.array([[0.0, 1.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])}
    assert used_only_by(rates, [0], share=1.0)["a"].tolist() == [False, False, True, False]
    assert used_only_by(rates, [0, 1], share=1.0)["a"].tolist() == [False, True, True, False]
    assert used_only_by(rates, [2], share=1.0)["a"].tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("classes", "message"), [(["dog"], "'dog' is none of ant, bee, cat"), ([], "one class"), ([0, "ant"], "each once")]
)
def test_refusals(gated: sg.GatedModel, data: ImageSet, classes: list[str | int], message: str) -> None:
    with pytest.raises(sg.InputError, match=message):
        sg.specialise(gated, data, classes)
