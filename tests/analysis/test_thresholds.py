"""Operating points and blocks against the engine asked directly."""

from dataclasses import replace

import numpy as np
import planted
import pytest
from gated_network import network

from sluicegate.analysis import block_table, measure_speed, measure_thresholds
from sluicegate.analysis.blocks import DECIDING, MOST, blocks
from sluicegate.analysis.source import ArraySource
from sluicegate.analysis.thresholds import own_threshold, thresholds_of
from sluicegate_runtime import Session, without_gates


def test_points_are_what_the_engine_does_at_their_thresholds():
    artifact, (source, labels, _) = planted.network(), planted.images(150)
    speed = measure_speed(artifact, source.inputs[:3], (0.3, 0.9), rounds=1)
    points = measure_thresholds(artifact, source, speed, batch_size=40)
    assert [point.threshold for point in points] == [0.3, 0.9]
    for point in points:
        direct = Session(artifact).run(source.inputs, point.threshold)
        assert point.accuracy == (direct.output.argmax(1) == labels).mean()
        assert point.macs == direct.macs.mean()
        assert point.open_rate == pytest.approx(direct.gates[planted.SITE].mean())
        assert point.milliseconds == speed.at[point.threshold] > 0
    assert points[1].macs < points[0].macs


def test_without_labels_points_have_no_accuracy():
    artifact, (source, _, _) = planted.network(), planted.images(5)
    speed = measure_speed(artifact, source.inputs[:1], (0.5,), rounds=1)
    assert measure_thresholds(artifact, ArraySource(source.inputs), speed)[0].accuracy is None


def test_a_program_knows_its_own_threshold():
    program = planted.network().program
    assert own_threshold(program) == 0.5
    assert thresholds_of(program, (0.2, 0.5)) == (0.2, 0.5) and thresholds_of(program, (0.2,)) == (0.2, 0.5)
    assert thresholds_of(without_gates(planted.network()).program) == ()


def test_no_threshold_moves_gates_that_open_their_largest():
    program = planted.network().program
    ops = tuple(replace(op, attributes={"top_k": 2}) if op.kind == "gate" else op for op in program.ops)
    assert thresholds_of(replace(program, ops=ops)) == ()


def test_blocks_are_named_by_what_ops_have_in_common():
    ops = [f"layer{i}_{j}_conv{k}" for i in range(4) for j in range(20) for k in range(2)]
    assert blocks(ops[:80])["layer0_3_conv1"] == "layer0.3" or len(set(blocks(ops[:80]).values())) <= MOST
    assert set(blocks(ops).values()) == {"layer0", "layer1", "layer2", "layer3"}
    assert blocks(["conv", "fc"]) == {"conv": "conv", "fc": "fc"}


def test_blocks_add_up_to_the_network():
    artifact = network()
    image = np.random.default_rng(0).normal(size=(1, 3, 9, 9)).astype(np.float32)
    table = block_table(artifact, image, repeats=1)
    for label, session in (("gated", Session(artifact)), ("dense", Session(without_gates(artifact)))):
        rows = table[table["network"] == label]
        assert rows["macs"].sum() == session.run(image).macs[0]
        assert (rows["ms"] >= 0).all()
    assert DECIDING in set(table.loc[table["network"] == "gated", "block"])
    assert DECIDING not in set(table.loc[table["network"] == "dense", "block"])
