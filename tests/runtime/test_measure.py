"""Measuring: every pair of shares comes up once, and what is bilinear is given back."""

import numpy as np
import pytest
from conformance.generate import Builder, random_program
from gated_network import network

from sluicegate_runtime import Artifact, InputError, Result, measure, measure_latency, without_gates
from sluicegate_runtime.latency import SHARES

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

N = len(SHARES)


def decisions(artifact: Artifact, images: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    gates = [value for value in artifact.program.values if value.kind == "gate"]
    return {gate.name: rng.random((images, *gate.shape)) < rng.random() for gate in gates}


class Linear:
    """Stands in for a session: an op takes 1 + 2 in + 3 out + 4 in out milliseconds, 0.5 where it is skipped, and
    nothing once the image has left."""

    def __init__(self, artifact: Artifact, threads: int = 2, tune: bool = False) -> None:
        self.artifact, self.program, self.isa, self.threads = artifact, artifact.program, "abacus", threads
        self.sides = {op.name: measure._sides(self.program, op) for op in self.program.ops}
        self.regions = {op.name: measure._region(self.program, op) for op in self.program.ops}

    def run(self, images: np.ndarray, threshold: float) -> Result:
        gates = {v.name: np.zeros((1, *v.shape), bool) for v in self.program.values if v.kind == "gate"}
        nothing = np.zeros(1)
        return Result({"output": nothing}, nothing, nothing, gates)

    def profile(self, image, repeats, gates):
        costs, left = {}, False
        for op in self.program.ops:
            costs[op.name] = (0.0, 0) if left or op.kind == "exit" else (self.cost(op, gates), 7)
            left = left or (op.kind == "exit" and not gates[op.inputs[1]][0])
        return costs

    def cost(self, op, gates) -> float:
        layers, unless = self.regions[op.name]
        if not all(gates[gate][0] for gate in layers) or any(gates[gate][0] for gate in unless):
            return 0.5
        sides = self.sides[op.name]
        reads, writes = (sum(gates[gate].mean() * part for gate, part in side.items()) if side else 1 for side in sides)
        return 1 + 2 * reads + 3 * writes + 4 * reads * writes


def joined() -> Artifact:
    """Two gated values joined and read together, by an op that a third gate writes; and one of many meetings."""
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 5, 5))
    gates = [b.gate(x, 4, top_k=0) for _ in range(7)]
    parts = [b.conv(x, 4, gate=gate) for gate in gates]
    y = b.make("concat", parts[:2], b.owners(parts[0]) + b.owners(parts[1]))
    y = b.conv(y, 4, gate=gates[2])
    for i, part in enumerate(parts):  # every gate against all before it
        for gate in gates[:i]:
            b.conv(part, 4, gate=gate)
    with b.under(unless=[b.gate(x, 1)]):
        z = b.conv(y, 3)
    return Artifact(b.program(x, b.op("add", [x, z], b.shape(x))), b.tensors)


def either(b: Builder, x: str, gate: str) -> str:
    """One of two convolutions, by one gate."""
    with b.under(gate):
        y = b.conv(x, 4, gate=b.gate(x, 4, top_k=0))
    with b.under(unless=[gate]):
        z = b.conv(x, 4, gate=b.gate(x, 4, top_k=0))
    return b.op("add", [x, y, z], b.shape(x))


def branches() -> Artifact:
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 5, 5))
    return Artifact(b.program(x, either(b, either(b, x, b.gate(x, 1)), b.gate(x, 1))), b.tensors)


@pytest.mark.parametrize(
    "artifact",
    [network(), network(exits=True), joined(), branches()],
    ids=["plain", "exits", "joined", "branches"],
)
def test_what_is_bilinear_is_given_back(artifact, monkeypatch):
    monkeypatch.setattr(measure, "Session", Linear)
    monkeypatch.setattr(measure, "warm_up", lambda *_: None)
    monkeypatch.setattr(measure, "PAUSE", 0.0)
    monkeypatch.setattr(measure, "benchmark", lambda *_: {"closed": [0.3], "dense": [0.2]})
    table, flags = measure_latency(artifact), decisions(artifact, 20)
    session = Linear(artifact)
    closed = {name: np.zeros(count, bool) for name, count in table.gates.items()}
    least = sum(ms for ms, _ in Linear(measure._staying(artifact)).profile(None, 1, closed).values())
    assert (table.dense, table.macs) == (200.0, 7 * sum(op.kind != "exit" for op in artifact.program.ops))
    assert table.overhead == pytest.approx(300.0 - least)
    for i, ms in enumerate(table.milliseconds(flags)):
        own = session.profile(None, 1, {name: f[i] for name, f in flags.items()})
        assert ms == pytest.approx(table.overhead + sum(taken for taken, _ in own.values()))


def test_disturbed_runs_are_left_out_and_ops_add_up():
    quiet = [{"a": (1.0 + i, 0), "b": (3.0 - i, 0)} for i in range(3)] + [{"a": (2.0, 0), "b": (2.0, 0)}]
    disturbed = [{"a": (90.0, 0), "b": (2.0, 0)}, {"a": (2.0, 0), "b": (80.0, 0)}]
    lucky = [{"a": (0.0, 0), "b": (0.0, 0)}] * 2
    assert measure._typical([*disturbed, *quiet, *lucky]) == {"a": 2.0, "b": 2.0}


@pytest.mark.parametrize("seed", range(20))
def test_each_pair_of_shares_comes_up_once(seed):
    program, _ = random_program(seed)
    design = measure._design(program)
    assert len(design) in (N * N, 2 * N * N)
    for op in program.ops:
        reads, writes = map(list, measure._sides(program, op))
        if len(reads) == len(writes) == 1:
            colours = measure._colours(program)
            even = max(colours[reads[0]], colours[writes[0]]) < N
            assert colours[reads[0]] != colours[writes[0]]
            assert len({(shares[reads[0]], shares[writes[0]]) for shares in design}) == N * N or not even
        layers, unless = measure._region(program, op)
        ran = [p for p in design if all(p[g] == N - 1 for g in layers) and all(p[g] == 0 for g in unless)]
        assert len(ran) in (N * N, len(design)), "gates let every op run in as many passes as it takes"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 16, 100])
@pytest.mark.parametrize("share", SHARES)
def test_open_gates_are_spread_evenly(count, share):
    flags = measure._evenly(count, share)
    assert flags.shape == (count,) and flags.sum() == round(share * count)
    gaps = np.diff(np.flatnonzero(flags))
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_a_program_without_gates_is_refused():
    with pytest.raises(InputError, match="table: the program has no gates"):
        measure_latency(without_gates(network()))


def test_gates_that_must_differ_cannot_be_timed_together():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 5, 5))
    first, second = b.gate(x, 1), b.gate(x, 1)
    y = either(b, either(b, x, first), second)
    with b.under(first, unless=[second]):
        z = b.conv(x, 4)
    artifact = Artifact(b.program(x, b.op("add", [y, z], b.shape(x))), b.tensors)
    with pytest.raises(InputError, match=r"table: op 'conv.*' needs gates open and others closed that cannot"):
        measure_latency(artifact)


def test_sides_say_how_much_each_gate_closes():
    program = joined().program
    concat = next(op for op in program.ops if op.kind == "concat")
    after = next(op for op in program.ops if concat.output in op.inputs)
    first, second, third = list(program.gates)[:3]
    assert measure._sides(program, concat) == ({first: 0.5, second: 0.5}, {})
    assert measure._sides(program, after) == ({first: 0.5, second: 0.5}, {third: 1.0})
