"""Tuning changes how a layer is computed, never what; and it is measured once."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conformance.generate import Builder, exit_early

from sluicegate_runtime import Artifact, Session, autotune, run_reference, save_program
from sluicegate_runtime.native import NativeExecutor

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


def network() -> Artifact:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 12, 12))
    y = b.conv(x, 32, 3, activation="relu")
    gate = b.gate(y, 48, "random")
    y = b.conv(b.conv(y, 48, gate=gate, activation="relu"), 32, residual=y, activation="relu")
    return Artifact(b.program(x, b.linear(b.pooled(y), 5)), b.tensors)


def native(session: Session) -> Any:
    """The engine itself."""
    assert isinstance(session._executor, NativeExecutor)
    return session._executor._engine


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    artifact = network()
    save_program(tmp_path / "model.sluice", artifact.program, artifact.tensors)
    return tmp_path / "model.sluice"


@pytest.mark.parametrize("isa", engine.isas())
@pytest.mark.parametrize("candidate", [0, 1])
def test_every_candidate_gives_the_same(isa, candidate, path, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_ISA", isa)
    monkeypatch.setattr(autotune, "measure", lambda *_: {op.name: [candidate] * 8 for op in convolutions()})
    artifact = network()
    for threshold in (0.0, 0.4, 0.5, 0.6, 1.0):
        result = Session(path, tune=True).run(images(), threshold)
        expected = run_reference(artifact.program, artifact.tensors, images(), threshold)
        assert np.array_equal(result.macs, expected.macs)
        np.testing.assert_allclose(result.output, expected.output, rtol=0, atol=1e-5)


def convolutions():
    """The two that Winograd could compute: the first layer reads the image itself."""
    return [op for op in network().program.ops if op.kind == "conv"][1:]


def test_measured_once_and_kept_beside_the_file(path, monkeypatch):
    Session(path, tune=True)
    kept = path.with_name("model.sluice.tuning.json")
    assert all(op.name in kept.read_text() for op in convolutions())
    monkeypatch.setattr(autotune, "measure", lambda *_: pytest.fail("measured a second time"))
    Session(path, tune=True)


def test_what_leaves_no_choice_is_not_measured(path, monkeypatch):
    kept = path.with_name("model.sluice.tuning.json")
    Session(path, tune=True)
    before = kept.read_text()
    monkeypatch.setattr(autotune, "measure", lambda *_: pytest.fail("measured"))
    Session(path, tune=True, winograd=False)
    assert kept.read_text() == before


def test_measuring_leaves_no_pick_behind(path, monkeypatch):
    """The first load computes what later ones do, also where next to nothing is open."""
    first = Session(path, tune=True)
    picked = []
    monkeypatch.setattr(autotune, "measure", lambda *_: pytest.fail("measured a second time"))
    artifact = network()

    class Stub:
        isa = first.isa
        candidates = staticmethod(native(first).candidates)

        def pick(self, op: int, eighths: int, candidate: int) -> None:
            picked.append((op, eighths))

    autotune.autotune(Stub(), artifact.program, 2, path.with_name("model.sluice.tuning.json"))
    choices = [i for i in range(len(artifact.program.ops)) if native(first).candidates(i) > 1]
    assert picked == [(op, eighths) for op in choices for eighths in range(9)]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}'])
def test_a_damaged_cache_is_measured_anew(path, text):
    kept = path.with_name("model.sluice.tuning.json")
    kept.write_text(text)
    Session(path, tune=True)
    assert convolutions()[0].name in kept.read_text()


def test_picks_that_do_not_fit_are_measured_anew(path):
    kept = path.with_name("model.sluice.tuning.json")
    Session(path, tune=True)
    kept.write_text(kept.read_text().replace("0", "7").replace("1", "7"))
    Session(path, tune=True).run(images())


def test_the_fastest_candidate_is_picked(monkeypatch):
    class Stub:
        picked = 0

        def candidates(self, op: int) -> int:
            return 2 if op == 0 else 1

        def pick(self, op: int, eighths: int, candidate: int) -> None:
            self.picked = candidate

        def profile(self, image: np.ndarray, repeats: int, forced: np.ndarray) -> list[tuple[float, int]]:
            share = forced.sum() / 6  # of 48 gates, in eighths
            return [(share if self.picked else 4.5, 0)] * ops  # the second is the faster one below 5/8

    artifact = network()
    ops = len(artifact.program.ops)
    assert autotune.measure(Stub(), artifact.program) == {artifact.program.ops[0].name: [1, 1, 1, 1, 0, 0, 0, 0]}


def test_ops_between_two_gates_are_asked_for_their_product():
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 12, 12))
    y = b.conv(x, 32, 3, activation="relu")
    gates = [b.gate(y, 48, "random") for _ in range(2)]
    b.conv(b.conv(y, 48, gate=gates[0], activation="relu"), 48, gate=gates[1])
    program = b.program(x, y)
    both = max(i for i, op in enumerate(program.ops) if op.kind == "conv")
    assert [autotune._share(program, both, eighths) for eighths in (1, 2, 4, 8)] == [3, 4, 6, 8]


def test_an_engine_refuses_picks_that_it_does_not_have():
    session = Session(network(), tune=True)
    for op, eighths, candidate in ((0, 9, 0), (0, -1, 0), (0, 1, 1), (-1, 1, 0), (99, 1, 0)):
        with pytest.raises(ValueError, match="out of range"):
            native(session).pick(op, eighths, candidate)


@pytest.mark.parametrize("tune", [False, True])
def test_without_winograd_there_is_one_way_and_the_same_answer(tune):
    artifact = network()
    session = Session(artifact, tune=tune, winograd=False)
    assert all(native(session).candidates(index) == 1 for index in range(len(artifact.program.ops)))
    expected = run_reference(artifact.program, artifact.tensors, images())
    np.testing.assert_allclose(session.run(images()).output, expected.output, rtol=0, atol=1e-5)


def test_a_kept_measurement_serves_every_operating_point(path, monkeypatch):
    """Fault 16: an export at another threshold is the same program to the clock."""
    artifact = network()
    Session(path, tune=True)
    monkeypatch.setattr(autotune, "measure", lambda *_: pytest.fail("measured a second time"))
    for changes in ({"threshold": 1.5}, {"top_k": 3}, {"keep_open": 1}):
        ops = tuple(
            replace(op, attributes={**op.attributes, **changes}) if op.kind == "gate" else op
            for op in artifact.program.ops
        )
        save_program(path, replace(artifact.program, ops=ops), artifact.tensors)
        Session(path, tune=True)


def test_the_digest_tells_programs_apart():
    artifact = network()
    program = artifact.program
    named = replace(program, classes=("a", "b", "c", "d", "e"))
    assert autotune.digest(named) == autotune.digest(program)
    ops = tuple(replace(op, attributes={**op.attributes, "activation": "silu"}) for op in program.ops[:1])
    assert autotune.digest(replace(program, ops=(*ops, *program.ops[1:]))) != autotune.digest(program)


def test_all_layers_run_while_they_are_measured():
    """Layer gates are open, and those of exits: an image goes on where they are."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    exit_early(b, x, 3)
    with b.under(b.gate(x, 1)):
        y = b.conv(b.conv(x, 8, gate=b.gate(x, 8)), 4, residual=x)
    program = b.program(x, b.linear(b.pooled(y), 3))
    assert list(program.gates.values()) == [1, 1, 8]
    for share in (1, 4, 8):
        flags = autotune._flags(program, share)
        assert flags[:2].tolist() == [1, 1] and flags[2:].sum() == share
