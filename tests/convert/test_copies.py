"""Copies of gated networks, and what pickle makes of them, are read, counted and lowered as the original."""

import copy
import io
from collections.abc import Callable

import pytest
import torch
from random_nets import random_net
from torch import nn

import sluicegate as sg
from sluicegate.costs import MacModel
from sluicegate.lowering import lower
from sluicegate.nets import build_net

GATINGS = {
    "joint": sg.JointGating(initial_open_rate=0.5),
    "recurrent": sg.RecurrentGating(),
    "gater": sg.GaterGating(build_net("resnet8")),
    "exits": [sg.ChannelGating(), sg.ExitGating()],
    "learned": sg.ChannelGating(head=sg.LearnedLogits, estimator=sg.GumbelSoftmax()),
    "largest": sg.ChannelGating(head=sg.SaliencyHead, estimator=sg.TopK(0.5, boost=True)),
}


def _unpickled(gated: sg.GatedModel) -> sg.GatedModel:
    file = io.BytesIO()
    torch.save(gated, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def _check(gated: sg.GatedModel, copied: sg.GatedModel, size: int) -> None:
    assert lower(copied).program.to_json() == lower(gated).program.to_json()
    assert MacModel(copied.network).by_module() == gated.macs.by_module()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(copied(images), gated(images))


@pytest.mark.cases(2)
@pytest.mark.parametrize("copied", [copy.deepcopy, _unpickled, lambda gated: _unpickled(copy.deepcopy(gated))])
@pytest.mark.parametrize("gating", GATINGS)
def test_copies_are_lowered_alike(gating: str, copied: Callable[[sg.GatedModel], sg.GatedModel]) -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(build_net("resnet8"), GATINGS[gating], torch.zeros(1, 3, 32, 32)).eval()
    _check(gated, copied(gated), 32)


@pytest.mark.cases(1)
@pytest.mark.parametrize("seed", range(12))
def test_copies_of_random_networks_are_lowered_alike(seed: int) -> None:
    gated = sg.gate_model(random_net(seed), sg.ChannelGating("all"), torch.zeros(1, 3, 12, 12)).eval()
    for copied in (copy.deepcopy(gated), _unpickled(gated)):
        _check(gated, copied, 12)


def test_a_copy_is_lowered_with_its_own_weights() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.ChannelGating(), torch.zeros(1, 3, 32, 32)).eval()
    before = {name: tensor.copy() for name, tensor in lower(gated).tensors.items()}
    copied = copy.deepcopy(gated)
    for parameter in copied.parameters():
        nn.init.zeros_(parameter)
    assert not any(tensor.any() for name, tensor in lower(copied).tensors.items() if name.endswith("weight"))
    assert all((before[name] == tensor).all() for name, tensor in lower(gated).tensors.items())


def test_a_copied_graph_alone_says_that_it_was_not_read() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.ChannelGating(), torch.zeros(1, 3, 32, 32))
    with pytest.raises(sg.InputError, match="example_inputs"):
        MacModel(copy.deepcopy(gated.network))
