"""The engine answers to the reference, on random programs, with every instruction set of this machine."""

import os

import numpy as np
import pytest
from conformance.generate import random_chain, random_program
from conformance.wild import random_ops

from sluicegate_runtime import Artifact, Session, run_reference

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

PROGRAMS = int(os.environ.get("SLUICEGATE_PROGRAMS", "500"))
BATCHES = (0, 1, 3, 17)


def images_for(program, seed: int, batch: int) -> np.ndarray:
    shape = next(value.shape for value in program.values if value.name == program.input)
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype(np.float32)


def agree(result, expected) -> None:
    assert np.array_equal(result.macs, expected.macs)
    assert np.array_equal(result.exits, expected.exits)
    assert all(np.array_equal(result.gates[name], expected.gates[name]) for name in expected.gates)
    assert list(result.outputs) == list(expected.outputs)
    for name, wanted in expected.outputs.items():
        scale = np.abs(wanted).max(initial=1.0)
        np.testing.assert_allclose(result.outputs[name], wanted, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.mark.parametrize("isa", engine.isas())
@pytest.mark.parametrize("part", range(10))
def test_engine_agrees_with_the_reference(isa, part, monkeypatch):
    check(isa, monkeypatch, random_program, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.parametrize("isa", engine.isas())
@pytest.mark.parametrize("part", range(10))
def test_any_ops_and_channel_maps_agree_with_the_reference(isa, part, monkeypatch):
    check(isa, monkeypatch, random_ops, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.parametrize("isa", engine.isas())
@pytest.mark.parametrize("part", range(4))
def test_large_planes_agree_with_the_reference(isa, part, monkeypatch):
    check(isa, monkeypatch, random_chain, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.parametrize("generate", [random_program, random_chain, random_ops])
def test_any_number_of_threads_gives_the_same_bits(generate):
    for seed in range(PROGRAMS // 10):
        artifact = Artifact(*generate(seed))
        images = images_for(artifact.program, seed, 1)
        first, *others = (Session(artifact, threads=threads).run(images) for threads in (1, 2, 3, 5))
        for name, output in first.outputs.items():
            assert all(np.array_equal(other.outputs[name], output, equal_nan=True) for other in others), seed


def check(isa, monkeypatch, generate, seeds) -> None:
    monkeypatch.setenv("SLUICEGATE_ISA", isa)
    for seed in seeds:
        program, tensors = generate(seed)
        images = images_for(program, seed, BATCHES[seed % 4 if seed % 10 == 0 else 1])
        monkeypatch.setenv("SLUICEGATE_L1", ("32", "48")[seed % 2])  # without passes in planes of few pixels, and with
        session = Session(Artifact(program, tensors), threads=1 + seed % 3, winograd=seed % 4 != 0)
        assert session.isa == isa
        try:
            agree(session.run(images), run_reference(program, tensors, images))
        except AssertionError as error:
            raise AssertionError(f"program {seed}: {error}") from None
