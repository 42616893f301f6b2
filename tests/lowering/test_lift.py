"""A lifted program computes what the reference says, and lowers back to what a plain network lowers to."""

from collections import Counter

import numpy as np
import pytest
import timm
import torch
import torchvision
from conformance.generate import random_program
from random_nets import randomise_norms

import sluicegate as sg
from sluicegate.lowering import lift, lower
from sluicegate.nets import build_net
from sluicegate_runtime import Artifact, Program, run_reference, without_gates


@pytest.mark.cases(15)
@pytest.mark.parametrize("seed", range(60))
def test_random_programs_without_gates(seed):
    dense = without_gates(Artifact(*random_program(seed)))
    shape = next(value.shape for value in dense.program.values if value.name == dense.program.input)
    images = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    wanted = run_reference(dense.program, dense.tensors, images).output
    found = lift(dense)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def structure(program: Program) -> Counter:
    """What there is to compute, whatever it is called."""
    shapes = {value.name: value.shape for value in program.values}
    return Counter((op.kind, len(op.inputs), str(op.attributes), shapes[str(op.output)]) for op in program.ops)


NETS = {
    "cifar": (lambda: build_net("resnet8"), 32),
    "resnet18": (torchvision.models.resnet18, 64),
    "mobilenet": (torchvision.models.mobilenet_v2, 64),
    "pre-activation": (lambda: build_net("preact_resnet29"), 32),
    "timm": (lambda: timm.create_model("resnet26d"), 64),
}
GATINGS = {
    "joint": sg.JointGating(initial_open_rate=0.5),
    "everywhere": sg.JointGating(sg.ChannelGating(at=["inp", "mid", "out"]), initial_open_rate=0.5),
    "boosted": sg.ChannelGating(estimator=sg.TopK(0.4, boost=True), head=sg.SaliencyHead),
    "recurrent": sg.RecurrentGating(),
    "gater": sg.GaterGating(build_net("resnet8")),
}


@pytest.mark.cases(2)
@pytest.mark.parametrize(("net", "gating"), [(net, "joint") for net in NETS] + [("cifar", g) for g in GATINGS])
def test_there_and_back(net, gating):
    """Gates inserted, lowered, taken out, lifted and lowered again: the program of the plain network."""
    torch.manual_seed(0)
    build, size = NETS[net]
    plain, x = randomise_norms(build()).eval(), torch.randn(2, 3, size, size)
    with torch.no_grad():
        wanted = plain(x)
    program = lower(plain, x[:1]).program
    gated = sg.gate_model(plain, GATINGS[gating], x[:1]).eval()
    lifted = lift(without_gates(lower(gated).artifact))
    again = lower(lifted, x[:1])
    assert structure(again.program) == structure(program)
    atol = 1e-5 * float(wanted.abs().max())
    np.testing.assert_allclose(lifted(x).numpy(), wanted.numpy(), rtol=0, atol=atol)
    result = run_reference(again.program, again.tensors, x.numpy())
    np.testing.assert_allclose(result.output, wanted.numpy(), rtol=0, atol=atol)
    assert result.macs.tolist() == [gated.macs.dense] * 2
    if gating != "boosted":
        gated.strategy = sg.AlwaysOn()
        np.testing.assert_allclose(lifted(x).numpy(), gated(x).detach().numpy(), rtol=0, atol=atol)


def test_a_gated_program_is_refused():
    gated = sg.gate_model(build_net("resnet8"), sg.LayerGating(), torch.zeros(1, 3, 32, 32))
    with pytest.raises(sg.InputError, match=r"lift: op '.*' \(gate\) has no module in torch, or belongs to gates"):
        lift(lower(gated).artifact)
