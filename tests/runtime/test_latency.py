"""Latency tables: every pair of shares is measured once, and what was measured is given back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conformance.generate import Builder, exit_early, random_program

from sluicegate_runtime import (
    Artifact,
    InputError,
    LatencyTable,
    Result,
    Session,
    dense_program,
    latency,
    measure_latency,
    read_table,
)

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

N = len(latency.SHARES)


def network(exits: bool = False) -> Artifact:
    """A block gated on what it reads, in the middle and at its end, under a layer gate under another; then one whose
    depthwise convolution has one gate on both sides. There may be exits before either block."""
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 9, 9))
    y = b.conv(x, 16, 3, activation="relu")
    if exits:
        exit_early(b, y, 5)
    outer = b.gate(y, 1)
    b.when = outer
    b.when = b.gate(y, 1)
    gates = [b.gate(y, 16, top_k=0) for _ in range(3)]
    z = b.op("select", [y, gates[0]], b.shape(y), gates[0])
    z = b.conv(z, 16, 3, gate=gates[1], activation="relu")
    z = b.conv(z, 16, 3, gate=gates[2])
    b.when = None
    y = b.op("add", [y, z], b.shape(y))
    if exits:
        exit_early(b, y, 5)
    gate = b.gate(y, 8, top_k=0)
    z = b.conv(y, 32, 1, gate=gate, activation="relu6")
    z = b.conv(b.conv(z, 32, groups=32, gate=gate), 16, 1)
    return Artifact(b.program(x, b.linear(b.pooled(z), 5)), b.tensors)


def decisions(artifact: Artifact, images: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    gates = [value for value in artifact.program.values if value.kind == "gate"]
    return {gate.name: rng.random((images, *gate.shape)) < rng.random() for gate in gates}


class Linear:
    """Stands in for a session: an op takes 1 + 2 in + 3 out + 4 in out milliseconds, 0.5 where it is skipped, and
    nothing once the image has left."""

    def __init__(self, artifact: Artifact, threads: int = 2, tune: bool = False) -> None:
        self.artifact, self.program, self.isa, self.threads = artifact, artifact.program, "abacus", threads

    def run(self, images: np.ndarray, threshold: float) -> Result:
        gates = {v.name: np.zeros((1, *v.shape), bool) for v in self.program.values if v.kind == "gate"}
        nothing = np.zeros(1)
        return Result(nothing, nothing, nothing, gates)

    def profile(self, image, repeats, gates):
        costs, left = {}, False
        for op in self.program.ops:
            costs[op.name] = (0.0, 0) if left or op.kind == "exit" else (self.cost(op, gates), 7)
            left = left or (op.kind == "exit" and gates[op.inputs[1]][0])
        return costs

    def cost(self, op, gates) -> float:
        if not all(gates[layer][0] for layer in latency._layers_around(self.program, op)):
            return 0.5
        reads, writes = (gates[gate].mean() if gate else 1 for gate in latency._sides(self.program, op))
        return 1 + 2 * reads + 3 * writes + 4 * reads * writes


@pytest.mark.parametrize("exits", [False, True])
def test_what_is_bilinear_is_given_back(exits, monkeypatch):
    monkeypatch.setattr(latency, "Session", Linear)
    monkeypatch.setattr(latency, "time_in_turns", lambda *_: {"closed": [0.3], "dense": [0.2]})
    artifact = network(exits)
    table, flags = measure_latency(artifact), decisions(artifact, 20)
    session = Linear(artifact)
    closed = {name: np.zeros(count, bool) for name, count in table.gates.items()}
    least = sum(ms for ms, _ in session.profile(None, 1, closed).values())
    assert (table.dense, table.macs) == (200.0, 7 * sum(op.kind != "exit" for op in artifact.program.ops))
    assert table.overhead == pytest.approx(300.0 - least)
    for i, ms in enumerate(table.milliseconds(flags)):
        own = session.profile(None, 1, {name: f[i] for name, f in flags.items()})
        assert ms == pytest.approx(table.overhead + sum(taken for taken, _ in own.values()))


def test_disturbed_runs_are_left_out_and_ops_add_up():
    quiet = [{"a": (1.0 + i, 0), "b": (3.0 - i, 0)} for i in range(3)] + [{"a": (2.0, 0), "b": (2.0, 0)}]
    disturbed = [{"a": (90.0, 0), "b": (2.0, 0)}, {"a": (2.0, 0), "b": (80.0, 0)}]
    lucky = [{"a": (0.0, 0), "b": (0.0, 0)}] * 2
    assert latency._typical([*disturbed, *quiet, *lucky]) == {"a": 2.0, "b": 2.0}


@pytest.mark.parametrize("seed", range(20))
def test_each_pair_of_shares_comes_up_once(seed):
    program, _ = random_program(seed)
    design = latency._design(program)
    assert len(design) == N * N
    for op in program.ops:
        reads, writes = latency._sides(program, op)
        if reads and writes:
            assert len({(shares[reads], shares[writes]) for shares in design}) == N * N
        if layer := op.when:
            assert {shares[layer] for shares in design} == {N - 1}, "layers are open while ops are timed"
        if op.kind == "exit":
            assert {shares[op.inputs[1]] for shares in design} == {N - 1}, "and so are what exits alone compute"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 16, 100])
@pytest.mark.parametrize("share", latency.SHARES)
def test_open_gates_are_spread_evenly(count, share):
    flags = latency._evenly(count, share)
    assert flags.shape == (count,) and flags.sum() == round(share * count)
    gaps = np.diff(np.flatnonzero(flags))
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


@pytest.fixture(scope="module")
def measured() -> LatencyTable:
    return measure_latency(network(), threads=1)


def test_a_measured_table_has_every_op(measured):
    artifact = network()
    assert list(measured.ops) == [op.name for op in artifact.program.ops]
    assert all(ms >= 0 for op in measured.ops.values() for row in op.open for ms in (*row, op.closed))
    depths = {len(op.layers) for op in measured.ops.values()}
    assert depths == {0, 1, 2}
    open_all = {name: np.ones((1, count), bool) for name, count in measured.gates.items()}
    closed = {name: np.zeros((1, count), bool) for name, count in measured.gates.items()}
    assert 0 < measured.milliseconds(closed)[0] < measured.milliseconds(open_all)[0]
    found = Session(artifact).run(np.zeros((1, 3, 9, 9), np.float32), threshold=0.0)
    assert measured.macs == found.macs[0]


def test_a_later_exit_takes_longer():
    artifact = network(exits=True)
    table, ops = measure_latency(artifact, threads=1), artifact.program.ops
    first, second = (op.inputs[1] for op in ops if op.kind == "exit")
    behind = [len(one.exits) for one in table.ops.values()]
    assert behind == sorted(behind) and set(behind) == {0, 1, 2}
    leaving = {first: [1, 0, 0], second: [1, 1, 0]}  # an image at each exit, and one that stays
    gates = {name: np.ones((3, count), bool) for name, count in table.gates.items()}
    gates |= {name: np.array(taken, bool)[:, None] for name, taken in leaving.items()}
    early, later, last = table.milliseconds(gates)
    assert 0 < early < later < last
    profile = Session(artifact).profile(np.zeros((3, 9, 9), np.float32), 1, {name: f[2] for name, f in gates.items()})
    assert table.macs == sum(macs for _, macs in profile.values())


def test_a_table_survives_its_file(measured, tmp_path):
    (tmp_path / "table.json").write_text(measured.to_json())
    assert read_table(tmp_path / "table.json") == measured
    document = json.loads(measured.to_json())
    for op in document["ops"].values():
        assert op.pop("exits") == []  # tables that were measured before there were exits lack this
    (tmp_path / "table.json").write_text(json.dumps(document))
    assert read_table(tmp_path / "table.json") == measured


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda table: table.pop("format"), "its format is not"),
        (lambda table: table.pop("dense"), "dense"),
        (lambda table: table.update(colour="red"), "colour"),
        (lambda table: table["gates"].clear(), "none of its gates"),
        (lambda table: next(op for op in table["ops"].values() if op["reads"])["open"].pop(), "times"),
        (lambda table: next(iter(table["ops"].values())).update(open=[["fast"]]), "fast"),
        (lambda table: next(iter(table["ops"].values())).update(exits=["way out"]), "'way out', which is none"),
    ],
)
def test_a_damaged_table_is_refused(damage, named, measured, tmp_path):
    document = json.loads(measured.to_json())
    damage(document)
    (tmp_path / "table.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=named) as error:
        read_table(tmp_path / "table.json")
    assert "table.json" in str(error.value) and "\n" not in str(error.value)


def test_no_file_is_refused(tmp_path):
    (tmp_path / "text").write_text("{")
    (tmp_path / "deep").write_text("[" * 100_000)
    for name in ("absent", "text", "deep"):
        with pytest.raises(InputError, match=f"{name}' is no latency table"):
            read_table(tmp_path / name)


def test_a_table_knows_where_it_holds(measured):
    artifact = network()
    measured.check(Session(artifact, threads=1))
    for wrong, session in {
        "threads": Session(artifact, threads=2),
        "program": Session(Artifact(*random_program(0)), threads=1),
    }.items():
        with pytest.raises(InputError, match=f"table: its {wrong} is"):
            measured.check(session)
    for wrong in ("machine", "isa"):
        with pytest.raises(InputError, match=f"table: its {wrong} is 'abacus'"):
            replace(measured, **{wrong: "abacus"}).check(Session(artifact, threads=1))


def test_an_exit_gate_that_closes_channels_is_refused():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 5, 5))
    exit_early(b, x, 2)
    y = b.conv(b.conv(x, 4, gate=b.ops[-1].inputs[1]), 4)
    with pytest.raises(InputError, match=r"table: gate '.*' is an exit's, and closes channels besides"):
        measure_latency(Artifact(b.program(x, b.linear(b.pooled(y), 2)), b.tensors))


def test_a_program_without_gates_is_refused():
    with pytest.raises(InputError, match="table: the program has no gates"):
        measure_latency(dense_program(network()))


def test_a_gate_that_meets_too_many_others_is_refused():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 5, 5))
    gates = [b.gate(x, 4, top_k=0) for _ in range(6)]
    ys = [b.conv(x, 4, gate=gate) for gate in gates]
    for i, y in enumerate(ys):  # every gate against all before it
        for gate in gates[:i]:
            b.conv(y, 4, gate=gate)
    with pytest.raises(InputError, match="shares ops with 5 others, more than 4"):
        measure_latency(Artifact(b.program(x, b.linear(b.pooled(x), 2)), b.tensors))


def test_profile_takes_decisions_from_outside():
    artifact = Artifact(*random_program(9))
    session = Session(artifact)
    image = np.random.default_rng(0).normal(size=artifact.program.values[0].shape).astype(np.float32)
    for threshold in (0.2, 0.5, 0.7, 1.0):
        wanted = session.run(image[None], threshold)
        gates = {name: flags[0] for name, flags in wanted.gates.items()}
        assert sum(macs for _, macs in session.profile(image, 2, gates).values()) == wanted.macs[0]
    assert len(gates) > 1
    name = next(iter(gates))
    for wrong, named in (({}, name), ({**gates, "no": gates[name]}, "no"), ({**gates, name: gates[name][:0]}, name)):
        with pytest.raises(InputError, match=f"gates: '{named}'"):
            session.profile(image, 1, wrong)
    with pytest.raises(ValueError, match="forced: there are not as many flags as gates have"):
        session._engine.profile(image, 1, np.zeros(1, np.uint8))
