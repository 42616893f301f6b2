"""Runs on images with masks: crops to train on, whole images to measure, one line where they do not fit."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from scene_folders import camvid_like
from torch.nn.functional import kl_div, log_softmax

from sluicegate.data import Normalize
from sluicegate.errors import InputError, RunError
from sluicegate.train import distillation_loss, evaluate, from_yaml, load_run, load_split, override, read_run_spec, run
from sluicegate_runtime import Session, predict

RECIPE = from_yaml("""
name: streets
task: {name: segmentation}
data: {name: streets, batch_size: 4, augment: {crop: [16, 24], scale: [0.5, 2.0], flip: true}}
net: {name: pspnet, options: {backbone: "small_resnet:SmallResNet"}}
method: {name: batch_shaping, options: {shaping: 0.2, shaped_until: null, sparsity: 0.0}}
optimizer: {lr: 0.05, nesterov: false, schedule: polynomial, gate_weight_decay: 1.0e-6}
epochs: 2
accelerator: cpu
""")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return camvid_like(tmp_path_factory.mktemp("data") / "streets", train=8, test=4)


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, run(RECIPE, folder, data_dir=place, progress=False)


@pytest.mark.broad
def test_a_run_tells_mean_iou_beside_pixel_accuracy(trained, place):
    folder, result = trained
    net, test = load_run(folder)[1], load_split(RECIPE.data, "test", place)
    ((pixels, masks),) = test.batches(4)
    with torch.no_grad():
        said = net(Normalize(test.mean, test.std)(pixels)).argmax(1)
    assert result.accuracy == pytest.approx((said == masks).double().mean().item(), abs=1e-6)
    ious = [((said == k) & (masks == k)).sum() / ((said == k) | (masks == k)).sum() for k in range(3)]
    assert result.mean_iou == pytest.approx(torch.stack(ious).mean().item(), abs=1e-6)
    assert list(result.class_iou) == ["road", "sky", "tree"] and result.images == 4
    (*_, last) = csv.DictReader((folder / "metrics.csv").open())
    assert float(last["mean_iou"]) == result.mean_iou, "the last epoch was measured on whole images, too"


def test_the_file_is_for_whole_images_and_has_no_auxiliary_head(trained, place, tmp_path):
    folder, result = trained
    assert read_run_spec(folder).shape == (3, 24, 32)
    session = Session(folder / "model.sluice", threads=1)
    files = sorted((place / "test").glob("*.png"))
    found = list(predict(session, files, masks=tmp_path))
    said = np.stack([np.asarray(Image.open(line["mask"])) for line in found])
    masks = np.stack([np.asarray(Image.open(place / "testannot" / file.name)) for file in files])
    assert (said == masks).mean() == pytest.approx(result.accuracy, abs=2e-3)
    assert np.mean([line["macs"] for line in found]) == result.macs.mean


def test_evaluate_measures_the_same(trained, place):
    folder, result = trained
    measured = evaluate(load_run(folder)[1], load_split(RECIPE.data, "test", place), batch_size=3)
    assert (measured.accuracy, measured.mean_iou, measured.macs) == (result.accuracy, result.mean_iou, result.macs)


@pytest.mark.broad
def test_workers_make_no_difference(trained, place, tmp_path):
    run(override(RECIPE, ["data.workers=1"]), tmp_path / "streamed", data_dir=place, progress=False)
    ours, theirs = (checkpoint(folder) for folder in (trained[0], tmp_path / "streamed"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.broad
def test_a_run_goes_on_with_its_auxiliary_head(place, tmp_path):
    run(override(RECIPE, ["epochs=1"]), tmp_path / "run", data_dir=place, progress=False)
    before = checkpoint(tmp_path / "run")["auxiliary.0.weight"]
    result = run(RECIPE, tmp_path / "run", resume=True, data_dir=place, progress=False)
    after = checkpoint(tmp_path / "run")["auxiliary.0.weight"]
    assert result.epochs == 2 and not torch.equal(before, after)
    assert (before - after).norm() < 0.5 * before.norm(), "it was not drawn anew"


def checkpoint(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.broad
def test_a_network_learns_the_colours_of_three_classes(place, tmp_path):
    wanted = override(
        RECIPE, ["method.name=dense", "method.options={}", "epochs=30", "data.augment.scale=null", "optimizer.lr=0.2"]
    )
    result = run(wanted, tmp_path / "dense", data_dir=place, progress=False)
    assert result.mean_iou is not None and result.mean_iou > 0.5, "by chance a fifth"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["task.name=classification"], "task.name: classification, but .* has masks; it must be segmentation"),
        (["data.augment.pad_crop=4"], r"data\.augment\.pad_crop: 4 is for images with one label"),
        (["data.augment.crop=null"], r"data\.augment: scale: .* needs a crop"),
        (["data.outputs=[0,1,2]", "data.output_count=9"], r"data\.outputs: .* are for images with one label"),
        (
            ["data.name=digits", "data.augment.crop=null", "data.augment.scale=null"],
            r"task\.name: segmentation, but the data set has no masks",
        ),
        (["data.name=digits"], r"data\.augment\.crop: .* is for images with masks"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_epoch(place, tmp_path, changes, message):
    root = None if "data.name=digits" in changes else place
    with pytest.raises(InputError, match=message) as refused:
        run(override(RECIPE, changes), tmp_path / "run", data_dir=root, progress=False)
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


@pytest.mark.broad
def test_a_strange_mask_ends_a_streamed_run_in_one_line(tmp_path):
    place = camvid_like(tmp_path / "streets")
    Image.fromarray(np.full((24, 32), 9, np.uint8)).save(place / "trainannot" / "3.png")
    with pytest.raises(RunError, match=r"mask .*3\.png holds class index 9") as refused:
        run(override(RECIPE, ["data.workers=1"]), tmp_path / "run", data_dir=place, progress=False)
    assert "\n" not in str(refused.value)


def test_the_teacher_of_masks_is_averaged_over_pixels():
    ours, theirs = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    by_pixel = kl_div(log_softmax(ours / 2, 1), log_softmax(theirs / 2, 1), reduction="none", log_target=True).sum(1)
    assert distillation_loss(ours, theirs, 2.0).item() == pytest.approx(4 * by_pixel.mean().item(), rel=1e-5)
