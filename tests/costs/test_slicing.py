"""MacModel and masks against a network whose closed parts are cut out (tests/slicing.py)."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from random_blocks import BLOCKS
from random_gatings import CASES, SIZE, random_gated
from random_nets import RandomNet, Residual, random_chain, random_residual_net, randomise_norms
from slicing import SlicedRun

import sluicegate as sg
from sluicegate.convert import Gating, exit_classifier
from sluicegate.costs.terms import Side
from sluicegate.ops.frame.links import OPEN

SEEDS = st.integers(0, 2**20)


def _check(net: torch.nn.Module, gating: Gating | list[Gating], seed: int) -> None:
    _check_gated(sg.gate_model(net, gating, torch.zeros(1, 3, SIZE, SIZE)).eval(), seed)


def _check_gated(gated: sg.GatedModel, seed: int) -> Counter[bool]:
    """Masked is sliced, and the MACs are those of the slices; returns how many images were in doubt (slicing.py)."""
    gated.strategy = sg.Stochastic()
    torch.manual_seed(seed)
    images, run, doubts = torch.randn(3, 3, SIZE, SIZE), SlicedRun(gated), Counter()
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
        macs = gated.macs(gates).tolist()
    for i in range(len(images)):
        sliced = run.run(images[i : i + 1], gates, i).float()
        torch.testing.assert_close(sliced, output[i : i + 1], rtol=1e-4, atol=1e-4)
        assert run.macs <= macs[i] if run.in_doubt else run.macs == macs[i]
        doubts[run.in_doubt] += 1
    return doubts


@pytest.mark.cases(3)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_all_channel_gates_of_each_block(block) -> None:
    for seed in range(2):
        _check(randomise_norms(RandomNet(seed, [block])), sg.ChannelGating("all", initial_open_rate=0.5), seed)


@pytest.mark.cases(2)
@pytest.mark.parametrize("case", CASES)
def test_random_networks(case: str) -> None:
    """The count is exact where no channel has two gates, either of which would do: nearly everywhere."""
    doubts: Counter[bool] = Counter()
    for seed in range(2):
        doubts += _check_gated(random_gated(seed, case)[1], seed)
    assert case in ("joined", "pairs") or doubts[False] >= 3


@examples(4)
@given(seed=SEEDS, case=st.sampled_from(sorted(CASES)))
def test_more_random_networks(seed: int, case: str) -> None:
    _check_gated(random_gated(seed, case)[1], seed)


@examples(4)
@given(seed=SEEDS, granularity=st.sampled_from((1, 2, 4)), rate=st.sampled_from((0.1, 0.5, 0.9)))
def test_channel_gates_of_random_residual_nets(seed: int, granularity: int, rate: float) -> None:
    _check(random_residual_net(seed), sg.ChannelGating(granularity=granularity, initial_open_rate=rate), seed)


@examples(4)
@given(seed=SEEDS, rate=st.sampled_from((0.1, 0.5, 0.9)))
def test_joint_gates_of_random_residual_nets(seed: int, rate: float) -> None:
    _check(random_residual_net(seed), sg.JointGating(initial_open_rate=rate), seed)


@examples(4)
@given(seed=SEEDS, places=st.sampled_from(("inp", "out", "inp mid out")))
def test_gates_at_both_ends_of_a_branch(seed: int, places: str) -> None:
    gating = sg.JointGating(sg.ChannelGating(places.split()), initial_open_rate=0.5)
    _check(random_residual_net(seed), gating, seed)


@examples(4)
@given(seed=SEEDS)
def test_layer_gates_of_random_residual_nets(seed: int) -> None:
    _check(random_residual_net(seed), sg.LayerGating(initial_open_rate=0.5), seed)


@examples(4)
@given(seed=SEEDS)
def test_all_channel_gates_of_random_chains(seed: int) -> None:
    _check(random_chain(seed), sg.ChannelGating(at="all", initial_open_rate=0.5), seed)


@pytest.mark.broad
@examples(4)
@given(seed=SEEDS, channels=st.booleans())
def test_exits_behind_random_blocks(seed: int, channels: bool) -> None:
    net = random_residual_net(seed)
    blocks = [name for name, module in net.named_children() if isinstance(module, Residual)]
    exits = sg.ExitGating(blocks, classifier=partial(exit_classifier, hidden=8), initial_open_rate=0.7)
    gating = sg.ChannelGating(["mid", "inp"]) if channels else sg.JointGating()
    _check(net, [replace(gating, initial_open_rate=0.5), exits], seed)


@pytest.mark.cases(2)
@pytest.mark.parametrize("gating", ["recurrent", "memory", "largest", "paired", "learned"])
def test_other_gates(gating: str) -> None:
    """Whatever heads look at is counted as it is cut."""
    gatings = {
        "recurrent": sg.RecurrentGating(initial_open_rate=0.5),
        "memory": sg.ChannelGating(head=sg.MemoryHead, initial_open_rate=0.5),
        "largest": sg.ChannelGating(["mid", "out"], head=sg.SaliencyHead, estimator=sg.TopK(0.4, boost=True)),
        "paired": sg.JointGating(sg.ChannelGating(estimator=sg.GumbelSoftmax()), initial_open_rate=0.5),
        "learned": sg.ChannelGating(head=sg.LearnedLogits, estimator=sg.GumbelSoftmax(), initial_open_rate=0.5),
    }
    for seed in (1, 2):
        _check(random_residual_net(seed, blocks=3), gatings[gating], seed)


def test_a_wrong_count_would_be_noticed() -> None:
    """The property above can fail: a model that forgets one site's inputs disagrees with the slices."""
    gated = sg.gate_model(
        random_residual_net(0), sg.ChannelGating(initial_open_rate=0.5), torch.zeros(1, 3, SIZE, SIZE)
    )
    gated.eval().strategy = sg.Stochastic()
    images, run = torch.randn(1, 3, SIZE, SIZE), SlicedRun(gated)
    _, gates = gated(images, return_gates=True)
    run.run(images, gates, 0)
    assert run.macs == gated.macs(gates).item()
    gated.macs.terms = tuple(replace(term, inputs=_never_closed(term.inputs)) for term in gated.macs.terms)
    assert run.macs != gated.macs(gates).item()


def _never_closed(side: Side) -> Side:
    return replace(side, flags=np.full_like(side.flags, OPEN), gated={})
