"""Two processes (gloo, CPU) train what one does at the same global batch.

In float64: in float32 a gradient that is summed in another order flips, sooner or later, a gate whose noisy logit is
all but zero, and from there on the two runs are two samples of one distribution.
"""

import csv
import json
import math

import pytest
from commands import sluicegate

pytestmark = pytest.mark.broad

RECIPE = """
name: small
data: {name: digits, batch_size: 32, limit_train: 512, limit_test: 101, augment: {pad_crop: 2, flip: true}}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg, options: {layer_weight: 0.05, channel_weight: 3}}
optimizer: {lr: 0.1, schedule: cosine}
batch_norm: frozen
epochs: 4
precision: 64-true
accelerator: cpu
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of the run on one process and of that on two."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(RECIPE)
    sluicegate("train", "small.yaml", "--out", "one", cwd=folder)
    two = sluicegate("train", "small.yaml", "devices=2", "strategy=ddp", "--out", "two", "--json", cwd=folder)
    assert json.loads(two.stdout)["epochs"] == 4, "one process speaks for both"
    return folder / "one", folder / "two"


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_loss_curve_is_that_of_one_process(runs):
    one, two = (rows(folder) for folder in runs)
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert math.isclose(float(a["train_loss"]), float(b["train_loss"]), abs_tol=1e-5)
        assert math.isclose(float(a["train_accuracy"]), float(b["train_accuracy"]), abs_tol=1e-6)
    assert float(one[-1]["train_loss"]) < float(one[0]["train_loss"]), "there is no curve to compare"
    assert float(one[-1]["macs_mean"]) < float(one[0]["macs_mean"]), "the gates did not learn"


def test_images_are_measured_once_each_by_either(runs):
    one, two = (json.loads((folder / "result.json").read_text()) for folder in runs)
    assert one["images"] == two["images"] == 101
    for a, b in zip(*(rows(folder) for folder in runs), strict=True):
        for column in ("accuracy", "macs_mean", "macs_min", "macs_max"):
            assert a[column] == b[column], column
