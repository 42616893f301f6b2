"""MacModel and masks against a network whose closed parts are cut out (tests/slicing.py)."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_nets import Residual, random_chain, random_residual_net
from slicing import SlicedRun

import sluicegate as sg
from sluicegate.convert import Gating, exit_classifier
from sluicegate.costs.terms import Side
from sluicegate.ops.links import OPEN

SEEDS = st.integers(0, 2**20)


def _check_against_slices(net: torch.nn.Module, gating: Gating | list[Gating], seed: int) -> None:
    gated = sg.gate_model(net, gating, torch.zeros(1, 3, 12, 12)).eval()
    gated.strategy = sg.Stochastic()
    torch.manual_seed(seed)
    images = torch.randn(3, 3, 12, 12)
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
        macs = gated.macs(gates)
        for i in range(len(images)):
            run = SlicedRun(gated, gates, i)
            torch.testing.assert_close(run.run(images), output[i : i + 1], rtol=1e-5, atol=1e-5)
            assert run.macs == macs[i].item()


@settings(max_examples=60)
@given(seed=SEEDS, granularity=st.sampled_from((1, 2, 4)), rate=st.sampled_from((0.1, 0.5, 0.9)))
def test_channel_gates_of_random_residual_nets(seed: int, granularity: int, rate: float) -> None:
    gating = sg.ChannelGating(granularity=granularity, initial_open_rate=rate)
    _check_against_slices(random_residual_net(seed), gating, seed)


@settings(max_examples=60)
@given(seed=SEEDS, rate=st.sampled_from((0.1, 0.5, 0.9)))
def test_joint_gates_of_random_residual_nets(seed: int, rate: float) -> None:
    gating = sg.JointGating(initial_open_rate=rate)
    _check_against_slices(random_residual_net(seed), gating, seed)


@settings(max_examples=40)
@given(seed=SEEDS, places=st.sampled_from(("inp", "out", "inp mid out")))
def test_gates_at_both_ends_of_a_branch(seed: int, places: str) -> None:
    gating = sg.JointGating(sg.ChannelGating(places.split()), initial_open_rate=0.5)
    _check_against_slices(random_residual_net(seed), gating, seed)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_layer_gates_of_random_residual_nets(seed: int) -> None:
    _check_against_slices(random_residual_net(seed), sg.LayerGating(initial_open_rate=0.5), seed)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_all_channel_gates_of_random_chains(seed: int) -> None:
    _check_against_slices(random_chain(seed), sg.ChannelGating(at="all", initial_open_rate=0.5), seed)


@settings(max_examples=40)
@given(seed=SEEDS, channels=st.booleans())
def test_exits_behind_random_blocks(seed: int, channels: bool) -> None:
    net = random_residual_net(seed)
    blocks = [name for name, module in net.named_children() if isinstance(module, Residual)]
    exits = sg.ExitGating(blocks, classifier=partial(exit_classifier, hidden=8), initial_open_rate=0.7)
    gating = sg.ChannelGating(["mid", "inp"]) if channels else sg.JointGating()
    _check_against_slices(net, [replace(gating, initial_open_rate=0.5), exits], seed)


def test_a_wrong_count_would_be_noticed() -> None:
    """The property above can fail: a model that forgets one site's inputs disagrees with the slices."""
    net = random_residual_net(0)
    gated = sg.gate_model(net, sg.ChannelGating(initial_open_rate=0.5), torch.zeros(1, 3, 12, 12)).eval()
    gated.strategy = sg.Stochastic()
    images = torch.randn(1, 3, 12, 12)
    _, gates = gated(images, return_gates=True)
    run = SlicedRun(gated, gates, 0)
    run.run(images)
    assert run.macs == gated.macs(gates).item()
    gated.macs.terms = tuple(replace(term, inputs=_never_closed(term.inputs)) for term in gated.macs.terms)
    assert run.macs != gated.macs(gates).item()


def _never_closed(side: Side) -> Side:
    return replace(side, flags=np.full_like(side.flags, OPEN), gated={})
