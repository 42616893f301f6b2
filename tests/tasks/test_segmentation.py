"""Loss and measures of masks, against definitions written out and against other libraries."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from small_resnet import SmallResNet
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from sluicegate.data import IGNORE
from sluicegate.errors import InputError
from sluicegate.nets import PSPNet
from sluicegate.tasks import Confusion, Segmentation

NAMES = ("road", "sky", "tree", "car")


def batch(seed: int = 0, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [N, 4, 6, 8] and masks [N, 6, 8] of the first three classes, a fifth of them void."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(3, (n, 6, 8), generator=generator)
    masks[torch.rand(n, 6, 8, generator=generator) < 0.2] = IGNORE
    return torch.randn(n, 4, 6, 8, generator=generator), masks


def test_void_pixels_are_left_out_of_the_loss():
    scores, masks = batch()
    by_pixel = cross_entropy(scores.permute(0, 2, 3, 1)[masks != IGNORE], masks[masks != IGNORE], reduction="none")
    task = Segmentation()
    assert task.loss(scores, masks).item() == pytest.approx(by_pixel.mean().item(), rel=1e-6)
    for n, loss in enumerate(task.image_losses(scores, masks)):
        assert loss.item() == pytest.approx(task.loss(scores[n : n + 1], masks[n : n + 1]).item(), rel=1e-5)


def test_a_batch_of_void_costs_nothing():
    scores, masks = batch()
    loss = Segmentation().loss(scores.requires_grad_(), torch.full_like(masks, IGNORE))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0 and not gradient.any()


def test_the_auxiliary_head_counts_with_its_weight():
    scores, masks = batch()
    features, head = torch.randn(3, 5, 3, 4), nn.Conv2d(5, 4, 1)
    task = Segmentation(auxiliary=0.4)
    said = interpolate(head(features), size=(6, 8), mode="bilinear", align_corners=False)
    expected = task.loss(scores, masks) + 0.4 * task.loss(said, masks)
    assert task.loss((scores, features), masks, auxiliary=head).item() == pytest.approx(expected.item(), rel=1e-6)


def test_only_what_has_features_gets_an_auxiliary_head():
    net = PSPNet(SmallResNet(), 4)
    assert Segmentation(auxiliary=0).prepare(net) is None and not net.with_features
    assert Segmentation().prepare(nn.Conv2d(3, 4, 1)) is None
    assert Segmentation().prepare(net) is not None and net.with_features


def test_the_matrix_is_counted_exactly():
    counted = Confusion(4)
    seen, said = [], []
    for seed in range(3):
        scores, masks = batch(seed)
        counted.update(scores, masks)
        seen.append(masks[masks != IGNORE])
        said.append(scores.argmax(1)[masks != IGNORE])
    truth, answers = (torch.cat(parts).numpy() for parts in (seen, said))
    assert np.array_equal(counted.compute().numpy(), confusion_matrix(truth, answers, labels=range(4)))
    scores = Segmentation().scores(counted, NAMES)
    ious = [jaccard_score(truth == k, answers == k) for k in range(4)]
    assert list(scores.class_iou.values()) == pytest.approx(ious, abs=1e-6)
    assert scores.mean_iou == pytest.approx(np.mean(ious), abs=1e-6)
    assert scores.accuracy == pytest.approx((truth == answers).mean(), abs=1e-6)


def test_a_class_that_nobody_saw_or_said_is_left_out_of_the_mean():
    masks = torch.tensor([[[0, 0, 1, IGNORE]]])
    scores = nn.functional.one_hot(torch.tensor([[[0, 1, 1, 3]]]), 4).movedim(-1, 1).float()
    counted = Confusion(4)
    counted.update(scores, masks)
    found = Segmentation().scores(counted, NAMES)
    assert found.class_iou == {"road": 0.5, "sky": 0.5} and found.mean_iou == 0.5
    assert found.accuracy == pytest.approx(2 / 3, abs=1e-6)


def test_accuracy_of_a_batch_is_that_of_its_pixels():
    scores, masks = batch()
    counted = Confusion(4)
    counted.update(scores, masks)
    expected = Segmentation().scores(counted, NAMES).accuracy
    assert Segmentation().accuracy(scores, masks).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3, 4)])
def test_scores_that_are_no_maps_of_the_images_size_are_refused(shape):
    _, masks = batch()
    with pytest.raises(InputError, match=r"a network for segmentation gives \[N, K, H, W\]"):
        Segmentation().loss(torch.zeros(shape), masks)


def test_a_weight_below_zero_is_refused():
    with pytest.raises(InputError, match=r"task\.auxiliary: -1 is below 0"):
        Segmentation(auxiliary=-1)
