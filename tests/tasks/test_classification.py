"""Classification, as it was before there were tasks."""

import pytest
import torch
from scene_folders import camvid_like
from torch.nn.functional import cross_entropy

from sluicegate.data import ImageSet, load_scenes
from sluicegate.errors import InputError
from sluicegate.tasks import Classification, Segmentation, answer, task_named, task_of

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def test_the_loss_is_cross_entropy_to_the_bit():
    task = Classification()
    assert torch.equal(task.loss(SCORES, LABELS, 0.1), cross_entropy(SCORES, LABELS, label_smoothing=0.1))
    assert torch.equal(task.image_losses(SCORES, LABELS), cross_entropy(SCORES, LABELS, reduction="none"))


def test_accuracy_is_the_share_of_right_images():
    task = Classification()
    right = (SCORES.argmax(1) == LABELS).double().mean().item()
    metric = task.metric(4, sync=False)
    for rows in (slice(0, 2), slice(2, 6)):
        metric.update(SCORES[rows], LABELS[rows])
    scores = task.scores(metric, "abcd")
    assert scores.accuracy == pytest.approx(right, abs=1e-6) and scores.mean_iou is None
    assert task.accuracy(SCORES, LABELS).item() == pytest.approx(right)


def test_the_answer_is_the_first_of_several():
    assert all(answer(output) is SCORES for output in (SCORES, (SCORES, LABELS), [SCORES], {"out": SCORES, "aux": 1}))


def test_a_set_says_its_task_and_the_other_refuses_it(tmp_path):
    scenes = load_scenes(camvid_like(tmp_path), "test")
    images = ImageSet(
        torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), ("a",), (0.5,), (1,)
    )
    assert isinstance(task_of(scenes), Segmentation) and isinstance(task_of(images), Classification)
    for task, fits, other in ((Classification(), images, scenes), (Segmentation(), scenes, images)):
        task.check(fits)
        with pytest.raises(InputError, match=r"task\.name: .*, but .*; it must be "):
            task.check(other)
    assert isinstance(task_named("segmentation"), Segmentation)
    assert isinstance(task_named("classification"), Classification)
