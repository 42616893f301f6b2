"""Latency tables: what was measured is given back, a file keeps it, and a table knows where it holds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conformance.generate import random_program
from gated_network import network

from sluicegate_runtime import Artifact, InputError, LatencyTable, Session, measure_latency
from sluicegate_runtime.latency import OpLatency

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


@pytest.fixture(scope="module")
def measured() -> LatencyTable:
    return measure_latency(network(), threads=1)


def by_hand(**op) -> LatencyTable:
    """A table of one op, with gates a and b of two flags each."""
    filled = {"reads": {}, "writes": {}, "open": ((3.0,),), "closed": 0.5, **op}
    return LatencyTable("p", "m", "i", 1, {"a": 2, "b": 2}, 0, 0.0, 1.0, {"op": OpLatency(**filled)})


def flags(*images: tuple[int, int]) -> dict[str, np.ndarray]:
    """So many flags of a and of b open, image by image."""
    return {
        name: np.array([[n > 0, n > 1] for n in counts])
        for name, counts in zip("ab", zip(*images, strict=True), strict=True)
    }


COLUMN = tuple((float(ms),) for ms in (0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("op", "image", "ms"),
    [
        ({}, (0, 0), 3),
        ({"layers": ("a",)}, (0, 2), 0.5),
        ({"layers": ("a",)}, (2, 0), 3),
        ({"layers": ("a", "b")}, (2, 0), 0.5),
        ({"unless": ("a",)}, (2, 0), 0.5),
        ({"unless": ("a",)}, (0, 0), 3),
        ({"exits": ("a",)}, (0, 0), 0),  # the image left before it
        ({"exits": ("a", "b")}, (2, 0), 0),
        ({"exits": ("a",)}, (2, 0), 3),
        ({"reads": {"a": 1.0}, "open": COLUMN}, (1, 0), 2),
        ({"reads": {"a": 0.25, "b": 0.75}, "open": COLUMN}, (2, 1), 4 * (0.25 + 0.375)),
        ({"writes": {"b": 1.0}, "open": ((0.0, 1.0, 2.0, 3.0, 8.0),)}, (0, 2), 8),
        ({"reads": {"a": 1.0}, "writes": {"b": 1.0}, "open": tuple((1.0 * i,) * 5 for i in range(5))}, (1, 2), 2),
    ],
)
def test_milliseconds_by_hand(op, image, ms):
    assert by_hand(**op).milliseconds(flags(image)) == pytest.approx([1.0 + ms])


@pytest.mark.broad
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


@pytest.mark.broad
def test_a_later_exit_takes_longer():
    artifact = network(exits=True)
    table, ops = measure_latency(artifact, threads=1), artifact.program.ops
    first, second = (op.inputs[1] for op in ops if op.kind == "exit")
    behind = [len(one.exits) for one in table.ops.values()]
    assert behind == sorted(behind) and set(behind) == {0, 1, 2}
    leaving = {first: [0, 1, 1], second: [0, 0, 1]}  # an image at each exit, and one that goes on
    gates = {name: np.ones((3, count), bool) for name, count in table.gates.items()}
    gates |= {name: np.array(taken, bool)[:, None] for name, taken in leaving.items()}
    early, later, last = table.milliseconds(gates)
    assert 0 < early < later < last
    profile = Session(artifact).profile(np.zeros((3, 9, 9), np.float32), 1, {name: f[2] for name, f in gates.items()})
    assert table.macs == sum(macs for _, macs in profile.values())


def test_a_table_survives_its_file(measured, tmp_path):
    (tmp_path / "table.json").write_text(measured.to_json())
    assert LatencyTable.load(tmp_path / "table.json") == measured


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
        (lambda table: next(iter(table["ops"].values())).update(unless=["way in"]), "'way in', which is none"),
        (lambda table: next(op for op in table["ops"].values() if op["reads"])["reads"].update(v5=1.0), "add up to 1"),
    ],
)
def test_a_damaged_table_is_refused(damage, named, measured, tmp_path):
    document = json.loads(measured.to_json())
    damage(document)
    (tmp_path / "table.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=named) as error:
        LatencyTable.load(tmp_path / "table.json")
    assert "table.json" in str(error.value) and "\n" not in str(error.value)


def test_no_file_is_refused(tmp_path):
    (tmp_path / "text").write_text("{")
    (tmp_path / "deep").write_text("[" * 100_000)
    for name in ("absent", "text", "deep"):
        with pytest.raises(InputError, match=f"{name}' is no latency table"):
            LatencyTable.load(tmp_path / name)


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


def test_a_table_holds_at_every_operating_point(measured):
    """Fault 16: an export at another threshold was refused as another program."""
    program = network().program
    for changes in ({"threshold": 1.5}, {"top_k": 1}):
        ops = tuple(
            replace(op, attributes={**op.attributes, **changes}) if op.kind == "gate" else op for op in program.ops
        )
        measured.check(Session(Artifact(replace(program, ops=ops), network().tensors), threads=1))
