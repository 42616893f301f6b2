"""The engine answers to the reference, on random programs, with every instruction set of this machine.

The NumPy definition as an executor of its own goes through the same suite.
"""

import os

import numpy as np
import pytest
from conformance.generate import random_chain, random_program
from conformance.wild import random_ops, random_ops_of_large_planes

from sluicegate_runtime import Artifact, Session, run_reference

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

PROGRAMS = int(os.environ.get("SLUICEGATE_PROGRAMS", "500"))
BATCHES = (0, 1, 3, 17)
THRESHOLDS = (None, None, None, 0.0, 0.4, 1.0, None)
EXECUTORS = [*(("native", isa) for isa in engine.isas()), ("reference", "numpy")]


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


@pytest.mark.cases(len(EXECUTORS))
@pytest.mark.parametrize(("name", "isa"), EXECUTORS)
@pytest.mark.parametrize("part", range(10))
def test_engine_agrees_with_the_reference(name, isa, part, monkeypatch):
    check(name, isa, monkeypatch, random_program, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.cases(len(EXECUTORS))
@pytest.mark.parametrize(("name", "isa"), EXECUTORS)
@pytest.mark.parametrize("part", range(10))
def test_any_ops_and_channel_maps_agree_with_the_reference(name, isa, part, monkeypatch):
    check(name, isa, monkeypatch, random_ops, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.cases(1)
@pytest.mark.parametrize(("name", "isa"), EXECUTORS)
@pytest.mark.parametrize("part", range(4))
def test_large_planes_agree_with_the_reference(name, isa, part, monkeypatch):
    check(name, isa, monkeypatch, random_chain, range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10))


@pytest.mark.cases(len(EXECUTORS))
@pytest.mark.parametrize(("name", "isa"), EXECUTORS)
@pytest.mark.parametrize("part", range(2))
def test_any_ops_of_large_planes_agree_with_the_reference(name, isa, part, monkeypatch):
    seeds = range(part * PROGRAMS // 10, (part + 1) * PROGRAMS // 10)
    check(name, isa, monkeypatch, random_ops_of_large_planes, seeds)


@pytest.mark.parametrize("generate", [random_program, random_chain, random_ops])
def test_any_number_of_threads_gives_the_same_bits(generate):
    for seed in range(PROGRAMS // 10):
        artifact = Artifact(*generate(seed))
        images = images_for(artifact.program, seed, 1)
        first, *others = (Session(artifact, threads=threads).run(images) for threads in (1, 2, 3, 5))
        for name, output in first.outputs.items():
            assert all(np.array_equal(other.outputs[name], output, equal_nan=True) for other in others), seed


def check(name, isa, monkeypatch, generate, seeds) -> None:
    if name == "native":
        monkeypatch.setenv("SLUICEGATE_ISA", isa)
    for seed in seeds if name == "native" else seeds[::10]:  # the definition is slow, and what it answers to is itself
        program, tensors = generate(seed)
        images = images_for(program, seed, BATCHES[seed % 4 if seed % 10 == 0 else 1])
        monkeypatch.setenv("SLUICEGATE_L1", ("32", "48")[seed % 2])  # without passes in planes of few pixels, and with
        session = Session(Artifact(program, tensors), threads=1 + seed % 3, winograd=seed % 4 != 0, engine=name)
        assert session.isa == isa
        try:
            threshold = THRESHOLDS[seed % len(THRESHOLDS)]
            result = session.run(images, threshold)
            agree(result, run_reference(program, tensors, images, threshold))
            if len(images):
                shares_out_its_macs(session, images[0], result)
        except AssertionError as error:
            raise AssertionError(f"program {seed}: {error}") from None


def shares_out_its_macs(session: Session, image: np.ndarray, result) -> None:
    """Decisions from outside lead through the program as the gates' own do."""
    gates = {name: flags[0] for name, flags in result.gates.items()}
    profile = session.profile(image, 1, gates)
    assert sum(macs for _, macs in profile.values()) == result.macs[0]
