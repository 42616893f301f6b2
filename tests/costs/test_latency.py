"""LatencyModel says what its table says, and has gradients besides."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conformance.generate import random_program

import sluicegate as sg
from sluicegate.costs import LatencyModel
from sluicegate.lowering import lower
from sluicegate.nets import build_net
from sluicegate_runtime import Artifact, LatencyTable, Session, measure_latency
from sluicegate_runtime.latency import OpLatency

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


@pytest.fixture(autouse=True)
def without_warming_up(monkeypatch):
    """Times do not matter here, and warming up is most of what measuring a table takes."""
    monkeypatch.setattr("sluicegate_runtime.timing.WARM", 0.0)
    monkeypatch.setattr("sluicegate_runtime.measure.PAUSE", 0.0)


def gated_net(gating, width: float = 1.0) -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net("resnet8", width=width), gating, torch.zeros(1, 3, 32, 32)).eval()


def uneven(table: LatencyTable) -> LatencyTable:
    """The table with made-up times: different for each op, rising with the shares, and not in straight lines."""

    def grid(number, op):
        columns = range(len(op.open[0]))
        return tuple(
            tuple((number + 1) * (1 + i * i + 2 * j * j + i * j) for j in columns) for i in range(len(op.open))
        )

    ops = {n: replace(op, open=grid(i, op), closed=0.25 * i) for i, (n, op) in enumerate(table.ops.items())}
    return replace(table, ops=ops, overhead=3.0, dense=1e4)


def table_of(gated: sg.GatedModel) -> LatencyTable:
    return uneven(measure_latency(lower(gated).artifact, threads=1))


GATINGS = {
    "joint": sg.JointGating(sg.ChannelGating(at=["inp", "mid", "out"]), initial_open_rate=0.5),
    "layer": sg.LayerGating(initial_open_rate=0.5),
    "recurrent": sg.RecurrentGating(initial_open_rate=0.5),
    "boosted": sg.ChannelGating(estimator=sg.TopK(0.4, boost=True), head=sg.SaliencyHead),
}


@pytest.mark.cases(2)
@pytest.mark.parametrize("gating", GATINGS)
def test_the_model_is_the_table(gating):
    gated = gated_net(GATINGS[gating])
    table = table_of(gated)
    model = LatencyModel(gated, table)
    with torch.no_grad():
        _, gates = gated(torch.randn(8, 3, 32, 32), return_gates=True)
    wanted = table.milliseconds({name: record.open.bool().numpy() for name, record in gates.items()})
    assert model.milliseconds(gates).tolist() == pytest.approx(wanted.tolist(), rel=1e-5)
    assert list(model.by_module().items()) == [(name, op.open[-1][-1]) for name, op in table.ops.items()]
    assert model.dense == table.dense
    assert model.closed < wanted.min()
    assert not model.state_dict(), "what a table says is no part of a checkpoint"


def test_a_channels_gradient_is_the_slope_of_the_table_there():
    gated = gated_net(sg.ChannelGating())
    table = table_of(gated)
    model = LatencyModel(gated, table)
    name, site = next(iter(gated.sites.items()))
    for count in (0, 3, 10, site.gates):
        gates = {}
        for other in gated.sites.values():
            is_open = (torch.arange(other.gates) < count).double()[None].requires_grad_()
            gates[other.name] = sg.GateRecord(other, is_open, is_open)
        (slope,) = torch.autograd.grad(model.milliseconds(sg.GateRecords(gates)).sum(), gates[name].open)
        piece = min(4 * count // site.gates, 3)
        ops = [op for op in table.ops.values() if name in (*op.reads, *op.writes)]
        flat = [row if len(row := op.open[0]) > 1 else [one for (one,) in op.open] for op in ops]
        wanted = sum(4 * (times[piece + 1] - times[piece]) for times in flat) / site.gates
        assert slope[0].tolist() == pytest.approx([wanted] * site.gates, rel=1e-5)


def test_a_layer_gate_costs_its_branch():
    gated = gated_net(sg.LayerGating())
    table = table_of(gated)
    name = next(iter(gated.sites))
    gates = {}
    for site in gated.sites.values():
        is_open = torch.full((1, 1), 0.5).requires_grad_()
        gates[site.name] = sg.GateRecord(site, is_open, is_open)
    ms = LatencyModel(gated, table).milliseconds(sg.GateRecords(gates)).sum()
    (slope,) = torch.autograd.grad(ms, gates[name].open)
    branch = sum(op.open[0][0] - op.closed for op in table.ops.values() if name in op.layers)
    assert slope.item() == pytest.approx(branch)


@pytest.mark.broad
def test_a_table_of_another_network_is_refused():
    table = table_of(gated_net(sg.ChannelGating()))
    for other, named in {
        gated_net(sg.ChannelGating(granularity=2)): "16 gates at 'layer1.0.conv1', this one 8",
        gated_net(sg.JointGating()): "no gates at 'layer1.0', this one 1",
        gated_net(sg.LayerGating()): "16 gates at 'layer1.0.conv1', this one none",
        gated_net(sg.ChannelGating("out"), width=2.0): "another network",
    }.items():
        with pytest.raises(sg.InputError, match=f"table: it is of another network.*{named}|{named}"):
            LatencyModel(other, table)
    with pytest.raises(sg.InputError, match=r"of another network, of 7 MACs with open gates, this one \d"):
        LatencyModel(gated_net(sg.ChannelGating()), replace(table, macs=7))


def test_missing_records_are_refused():
    gated = gated_net(sg.ChannelGating())
    _, gates = gated(torch.randn(1, 3, 32, 32), return_gates=True)
    del gates["layer2.0.conv1"]
    with pytest.raises(sg.InputError, match=r"gates: no record for site 'layer2\.0\.conv1'"):
        LatencyModel(gated, table_of(gated)).milliseconds(gates)


def exiting(table: LatencyTable, exits: tuple[str, ...]) -> Any:
    """Stands in for a gated network with these exits."""
    sites = {
        name: sg.GateSite(name, "exit" if name in exits else "channel", count, count, "x", "y")
        for name, count in table.gates.items()
    }

    def macs(gates):
        assert all((record.open == 1).all() for record in gates.values())
        return torch.tensor([table.macs])

    return SimpleNamespace(sites=sites, macs=macs)


def by_hand() -> LatencyTable:
    """1 ms, an exit, 2 ms and 4 ms more for open channels, an exit, 8 ms; and 0.5 ms of overhead."""
    ops = {
        "stem": OpLatency({}, {}, ((1.0,),), 1.0),
        "middle": OpLatency({}, {"c": 1.0}, ((2.0, 3.0, 4.0, 5.0, 6.0),), 0.0, exits=("e0",)),
        "end": OpLatency({}, {}, ((8.0,),), 8.0, exits=("e0", "e1")),
    }
    return LatencyTable("", "", "", 1, {"c": 4, "e0": 1, "e1": 1}, 9, 15.0, 0.5, ops)


def decided(gated: Any, **opens: list[list[float]]) -> sg.GateRecords:
    found = {name: torch.tensor(flags, dtype=torch.float64).requires_grad_() for name, flags in opens.items()}
    return sg.GateRecords({name: sg.GateRecord(gated.sites[name], one, one) for name, one in found.items()})


def test_who_leaves_early_pays_for_what_came_before():
    table = by_hand()
    gated = exiting(table, ("e0", "e1"))
    model = LatencyModel(gated, table)
    gates = decided(gated, c=[[1, 1, 0, 0]] * 4, e0=[[0], [0], [1], [1]], e1=[[1], [0], [0], [1]])
    assert model.milliseconds(gates).tolist() == [1.5, 1.5, 5.5, 13.5]
    assert table.milliseconds({n: r.open.detach().numpy() for n, r in gates.items()}).tolist() == [1.5, 1.5, 5.5, 13.5]
    assert model.closed == 1.5, "the least is to leave at the first exit"
    dear = {"classifier": OpLatency({}, {}, ((100.0,),), 0.0, unless=("e0",)), **table.ops}
    assert LatencyModel(gated, replace(table, ops=dear)).closed == 3.5, "unless its classifier is dear"


def test_relaxed_exits_cost_what_is_to_be_expected():
    table = by_hand()
    gated = exiting(table, ("e0", "e1"))
    model, share, stay = LatencyModel(gated, table), 0.5, (0.25, 0.75)
    gates = decided(gated, c=[[1, 1, 0, 0]], e0=[[stay[0]]], e1=[[stay[1]]])
    expected = 0.0
    for taken in product((0, 1), repeat=2):
        chance = np.prod([p if one else 1 - p for one, p in zip(taken, stay, strict=True)])
        hard = decided(gated, c=[[1, 1, 0, 0]], e0=[[taken[0]]], e1=[[taken[1]]])
        expected += chance * model.milliseconds(hard).item()
    ms = model.milliseconds(gates)
    assert ms.item() == pytest.approx(expected)
    slopes = torch.autograd.grad(ms.sum(), [gates[name].open for name in ("c", "e0", "e1")])
    middle, end = 2 + 4 * share, 8.0
    assert slopes[0].tolist() == [[pytest.approx(stay[0] * 4 / 4)] * 4]
    assert slopes[1].item() == pytest.approx(middle + stay[1] * end)
    assert slopes[2].item() == pytest.approx(stay[0] * end)


def test_exits_by_gate_model():
    """An exit's classifier is timed as it runs, and counts for those who leave there."""
    gated = gated_net([sg.ChannelGating(), sg.ExitGating()])
    table = measure_latency(lower(gated).artifact, threads=1)
    own = [op for name, op in table.ops.items() if name.startswith("exits_layer2")]
    assert own and all((op.unless, op.exits) == (("layer2.exit",), ("layer1.exit",)) for op in own)
    assert sum(op.open[0][0] for op in own) > sum(op.closed for op in own)
    with torch.no_grad():
        _, gates = gated(torch.randn(3, 3, 32, 32), return_gates=True)
    stays = {"layer1.exit": [0.0, 1.0, 1.0], "layer2.exit": [0.0, 0.0, 1.0]}
    gates |= {name: gates[name]._replace(open=torch.tensor(flags)[:, None]) for name, flags in stays.items()}
    table = uneven(table)
    wanted = table.milliseconds({name: record.open.bool().numpy() for name, record in gates.reached().items()})
    assert LatencyModel(gated, table).milliseconds(gates).tolist() == pytest.approx(wanted.tolist(), rel=1e-5)
    assert len(set(wanted.tolist())) == 3


def test_a_measured_program_with_exits():
    """Its images leave at different places; the model says of each what the table says."""
    seed = next(s for s in range(100) if sum(op.kind == "exit" for op in random_program(s)[0].ops) > 1)
    artifact = Artifact(*random_program(seed))
    exits = tuple(op.inputs[1] for op in artifact.program.ops if op.kind == "exit")
    table = uneven(measure_latency(artifact, threads=1))
    gated = exiting(table, exits)
    images = np.random.default_rng(0).standard_normal((4, *artifact.program.values[0].shape), np.float32)
    seen = Session(artifact, threads=1).run(images).gates
    rng = np.random.default_rng(1)
    seen |= {name: rng.random((4, 1)) < 0.5 for name in exits}
    model = LatencyModel(gated, table)
    gates = decided(gated, **{name: flags.tolist() for name, flags in seen.items()})
    assert model.milliseconds(gates).tolist() == pytest.approx(table.milliseconds(seen).tolist(), rel=1e-5)
    assert len(set(model.milliseconds(gates).tolist())) > 1
