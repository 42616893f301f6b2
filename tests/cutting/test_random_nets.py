"""Random networks of every block and gate: what is pruned gives the outputs of the gated network."""

import copy
import pickle
from functools import partial

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from random_blocks import BLOCKS
from random_gatings import CASES, SIZE, random_gated, tell_images_apart
from random_nets import RandomNet, randomise_norms
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.costs import BY_IMAGE
from sluicegate.cutting import settled_gates
from sluicegate.lowering import lower, verify_lowered

SEEDS = st.integers(0, 2**20)


def _same(made: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


def _check_plain(gated: sg.GatedModel, seed: int) -> nn.Module:
    """For one image every gate has settled."""
    image = _images(seed, 1)
    with torch.no_grad():
        output = gated(image)
        plain = sg.prune(gated, image)
        _same(plain(image), output)
    assert not any(type(module).__module__.startswith("sluicegate") for module in plain.modules())
    return plain


def _check_gated(gated: sg.GatedModel, seed: int, images: int = 3) -> None:
    """What has settled goes, and the others decide as before."""
    x = _images(seed, images)
    if not _conditional(gated, x):
        return
    settled = settled_gates(gated, x)
    by_image = {name: int((does == BY_IMAGE).sum()) for name, does in settled.items()}
    smaller = sg.prune_settled(gated, x)
    with torch.no_grad():
        (expected, before), (output, after) = gated(x, return_gates=True), smaller(x, return_gates=True)
    _same(output, expected)
    assert {name: site.gates for name, site in smaller.sites.items()} == {n: g for n, g in by_image.items() if g}
    for name, record in after.items():
        assert torch.equal(record.open, before[name].open[:, torch.from_numpy(settled[name] == BY_IMAGE)])


def _images(seed: int, count: int) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.cases(3)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_each_block(block) -> None:
    net = randomise_norms(RandomNet(0, [block]))
    gated = sg.gate_model(net, sg.ChannelGating("all"), torch.zeros(1, 3, SIZE, SIZE)).eval()
    tell_images_apart(gated)
    _check_plain(gated, seed=0)
    _check_gated(gated, seed=0)


@pytest.mark.cases(2)
@pytest.mark.parametrize("case", CASES)
def test_each_way_to_gate(case: str) -> None:
    for seed in range(2):
        gated = _gated(case, seed)
        _check_plain(gated, seed)
        _check_gated(gated, seed)


@pytest.mark.broad
@pytest.mark.parametrize("case", ["joint everywhere", "joint and exits"])
def test_copies_and_pickles(case: str) -> None:
    x = _images(0, 4)
    gated = next(net for net in map(partial(_gated, case), range(20)) if _conditional(net, x))
    for net in (sg.prune_settled(gated, x), sg.prune(gated, x, share=0.5)):
        with torch.no_grad():
            expected = net(x)
            _same(pickle.loads(pickle.dumps(net))(x), expected)
            _same(copy.deepcopy(net)(x), expected)


@pytest.mark.cases(1)
@pytest.mark.parametrize("case", ["channels", "kept open", "joint", "everywhere"])
def test_the_engine_runs_what_is_left(case: str) -> None:
    """Outputs, decisions and MACs of the engine are those of torch, with gates on some channels of a value alone."""
    x = _images(0, 4)
    gated = next(net for net in map(partial(_gated, case), range(20)) if _conditional(net, x))
    smaller = sg.prune_settled(gated, x)
    verify_lowered(smaller, lower(smaller), x)


@pytest.mark.cases(4)
@pytest.mark.parametrize("case", CASES)
def test_the_engine_runs_a_plain_network(case: str) -> None:
    x = _images(0, 4)
    plain = sg.prune(_gated(case, seed=0), x, share=0.5)
    verify_lowered(plain, lower(plain, x[:1]), x)


def _gated(case: str, seed: int) -> sg.GatedModel:
    gated = random_gated(seed, case)[1]
    tell_images_apart(gated)
    return gated


def _conditional(gated: sg.GatedModel, x: Tensor) -> bool:
    return any((does == BY_IMAGE).any() for does in settled_gates(gated, x).values())


@examples(5)
@given(seed=SEEDS, case=st.sampled_from(sorted(CASES)), images=st.integers(2, 5))
def test_random_networks(seed: int, case: str, images: int) -> None:
    gated = _gated(case, seed)
    _check_plain(gated, seed)
    _check_gated(gated, seed, images)
