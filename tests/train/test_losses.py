import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax

from sluicegate.errors import InputError
from sluicegate.train.losses import Distillation, distillation_loss


def test_it_is_the_divergence_of_softened_outputs_times_the_square_of_the_temperature():
    ours, theirs = torch.randn(6, 4), torch.randn(6, 4)
    p, q = (log_softmax(x / 3, 1) for x in (theirs, ours))
    by_hand = 9 * (p.exp() * (p - q)).sum(1).mean()
    torch.testing.assert_close(distillation_loss(ours, theirs, 3.0), by_hand)
    assert distillation_loss(theirs, theirs).item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_is_a_frozen_copy_in_evaluation_mode():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 4)).train()
    distillation = Distillation(net, weight=0.25)
    images = torch.randn(5, 3, 2, 2)
    before = distillation.said(images)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(distillation.said(images), before)
    assert not any(p.requires_grad for p in distillation.teacher.parameters())
    assert net.training and not distillation.teacher.training


def test_the_weight_shares_the_loss_between_labels_and_teacher():
    distillation = Distillation(nn.Flatten(), 0.25, temperature=2.0)
    images, output, labels = torch.randn(5, 4, 1, 1), torch.randn(5, 4), torch.arange(5) % 4
    task = cross_entropy(output, labels)
    wanted = 0.75 * task + 0.25 * distillation_loss(output, images.flatten(1), 2.0)
    torch.testing.assert_close(distillation(task, output, images), wanted)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"teacher: its output is \(5, 4\), but the network's is \(5, 3\)"):
        Distillation(nn.Flatten())(torch.zeros(()), torch.zeros(5, 3), torch.zeros(5, 4, 1, 1))
    with pytest.raises(InputError, match="weight: 2"):
        Distillation(nn.Flatten(), 2)
    with pytest.raises(InputError, match="temperature: 0"):
        Distillation(nn.Flatten(), 0.5, 0)
