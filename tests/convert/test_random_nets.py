"""All gates open, a gated network is the plain one, whatever it is made of."""

import copy

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from random_blocks import BLOCKS
from random_gatings import CASES, SIZE, random_gated
from random_nets import RandomNet, randomise_norms
from torch import nn

import sluicegate as sg
from sluicegate.gates import Gate, PooledHead


def _check(net: nn.Module, gated: sg.GatedModel) -> None:
    """In training, too, where dropout draws alike."""
    gated.strategy = sg.AlwaysOn()
    images = torch.randn(2, 3, SIZE, SIZE)
    for training in (False, True):
        torch.manual_seed(1)
        expected = copy.deepcopy(net).train(training)(images)
        torch.manual_seed(1)
        output, gates = gated.train(training)(images, return_gates=True)
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        assert all((record.open == 1).all() for record in gates.values())


@pytest.mark.cases(8)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_each_block(block) -> None:
    net = randomise_norms(RandomNet(1, [block]))
    _check(net, sg.gate_model(net, sg.ChannelGating("all"), torch.zeros(1, 3, SIZE, SIZE)))


@examples(12)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_random_networks(seed: int, case: str) -> None:
    _check(*random_gated(seed, case))


@examples(8)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_all_open_costs_the_plain_network_and_its_gates(seed: int, case: str) -> None:
    net, gated = random_gated(seed, case)
    gated.strategy = sg.AlwaysOn()
    plain = sg.MacModel(net, torch.zeros(1, 3, SIZE, SIZE)).dense
    assert gated.macs.dense == plain
    gates = sum(part.dense for part in gated.macs.by_module().values() if part.kind == "gate")
    with torch.no_grad():
        _, records = gated(torch.randn(1, 3, SIZE, SIZE), return_gates=True)
    assert gated.macs(records).item() == plain + gates


@examples(8)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_gates_learn_from_the_task(seed: int, case: str) -> None:
    """Each head's last layer has a gradient, but for gates that are kept open: in some batch, as it may be that all
    images of one leave at an exit before."""
    _, gated = random_gated(seed, case)
    torch.manual_seed(seed)
    for _ in range(1 if "exits" not in case else 50):
        gated.train()(torch.randn(8, 3, SIZE, SIZE)).square().sum().backward()
    for gate in gated.gates.values():
        assert isinstance(gate, Gate) and isinstance(gate.head, PooledHead)
        for site, output in zip(gate.sites, gate.head.outputs, strict=True):
            bias = output.get_parameter("bias").grad
            assert site.gates == site.keep_open or (bias is not None and bias.abs().sum() > 0), site.name
