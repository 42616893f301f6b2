"""Random networks of every block and gate: torch, the NumPy definition and the engine on every ISA say the same."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from random_blocks import BLOCKS
from random_gatings import CASES, SIZE, random_gated, tell_images_apart
from random_nets import RandomNet, randomise_norms

import sluicegate as sg
from sluicegate.lowering import lower, verify_lowered
from sluicegate_runtime import Program, Result, Session, run_reference, without_gates

ISAS = ("portable", "avx2", "avx512")
NEAR = 1e-4
"""Of a logit from zero: closer ones may be decided by rounding, and are not asked for here."""


def _results(gated: sg.GatedModel, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Result]]:
    lowered = lower(gated)
    yield "reference", run_reference(Program.from_json(lowered.program.to_json()), lowered.tensors, images)
    native = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")
    for isa in ISAS:
        if isa in native.isas():
            monkeypatch.setenv("SLUICEGATE_ISA", isa)
            yield isa, Session(lowered.artifact, threads=1).run(images)


def _check(gated: sg.GatedModel, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_images_apart(gated)
    torch.manual_seed(seed)
    images = torch.randn(4, 3, SIZE, SIZE)
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
        macs = gated.macs(gates).tolist()
    sure = torch.stack([(record.logits.abs() > NEAR).all(1) for record in gates.values()]).all(0).numpy()
    largest = float(output.abs().max())
    for name, result in _results(gated, images.numpy(), monkeypatch):
        tolerance = 1e-5 if name == "reference" else 1e-4  # the engine's 3x3 layers may run by Winograd
        np.testing.assert_allclose(result.output[sure], output.numpy()[sure], rtol=0, atol=tolerance * largest)
        assert result.macs[sure].tolist() == np.array(macs)[sure].tolist(), name
        for site, record in gates.reached().items():
            assert np.array_equal(result.gates[site][sure], record.open.bool().numpy()[sure]), (name, site)


@pytest.mark.cases(2)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_each_block(block, monkeypatch) -> None:
    for seed in range(2):
        net = randomise_norms(RandomNet(seed, [block]))
        _check(sg.gate_model(net, sg.ChannelGating("all"), torch.zeros(1, 3, SIZE, SIZE)).eval(), seed, monkeypatch)


@pytest.mark.cases(1)
@pytest.mark.parametrize("case", CASES)
def test_each_way_to_gate(case: str, monkeypatch) -> None:
    for seed in range(3):
        _check(random_gated(seed, case)[1], seed, monkeypatch)


@examples(10)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_random_networks(seed: int, case: str, monkeypatch) -> None:
    _check(random_gated(seed, case)[1], seed, monkeypatch)


@examples(3)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_every_threshold_is_checked_before_a_file_is_written(seed: int, case: str) -> None:
    _, gated = random_gated(seed, case)
    tell_images_apart(gated)
    verify_lowered(gated, lower(gated))


@pytest.mark.broad
@examples(8)
@given(seed=st.integers(0, 2**20), case=st.sampled_from(sorted(CASES)))
def test_without_its_gates_a_program_is_the_plain_network(seed: int, case: str) -> None:
    net, gated = random_gated(seed, case)
    images = torch.randn(2, 3, SIZE, SIZE)
    plain = without_gates(lower(gated).artifact)
    with torch.no_grad():
        expected = net(images).numpy()
    result = run_reference(plain.program, plain.tensors, images.numpy())
    np.testing.assert_allclose(result.output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert result.macs.tolist() == [gated.macs.dense] * 2
