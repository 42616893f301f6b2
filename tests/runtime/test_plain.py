"""A program without its gates is the program with all gates open."""

from dataclasses import replace

import numpy as np
import pytest
from conformance.generate import Builder, random_program
from conformance.wild import random_ops
from one_op import random

from sluicegate_runtime import Artifact, Op, Program, run_reference, verify_program, without_gates
from sluicegate_runtime.ops import ROOMS

GATING = {"gate", "exit", "select"}


def opened(op: Op) -> Op:
    """A gate that opens by its threshold, whatever it did before."""
    return replace(op, attributes={**op.attributes, "top_k": 0}) if op.kind == "gate" else op


def boosts(program: Program) -> bool:
    logits = {op.inputs[0] for op in program.ops if op.kind == "gate"}
    return any(op.kind == "multiply" and op.inputs[1] in logits for op in program.ops)


@pytest.mark.cases(15)
@pytest.mark.parametrize("generate", [random_program, random_ops])
@pytest.mark.parametrize("seed", range(60))
def test_without_gates_is_everything_open(generate, seed):
    program, tensors = generate(seed)
    plain = without_gates(Artifact(program, tensors))
    verify_program(plain.program, plain.tensors)
    assert not {op.kind for op in plain.program.ops} & GATING
    assert not any(op.when or op.unless for op in plain.program.ops)
    assert all(not value.channels and value.kind == "tensor" for value in plain.program.values)
    assert plain.tensors.keys() == {name for op in plain.program.ops for name in op.tensors.values()}
    if boosts(program):
        return  # this does something else than to close channels
    images = random(2, *program.shape(program.input), seed=seed)
    wide = replace(program, ops=tuple(opened(op) for op in program.ops))
    wanted = run_reference(wide, tensors, images, threshold=0.0)
    found = run_reference(plain.program, plain.tensors, images)
    assert list(found.outputs) == list(wanted.outputs)
    for name, output in wanted.outputs.items():
        scale = max(1.0, np.abs(output).max())
        np.testing.assert_allclose(found.outputs[name], output, rtol=1e-5, atol=1e-5 * scale)
    assert (found.macs <= wanted.macs).all()


def test_a_program_without_gates_stays_as_it_is():
    plain = without_gates(Artifact(*random_program(3)))
    assert without_gates(plain).program == plain.program


def test_the_branch_of_a_closed_gate_is_gone():
    """A sum of which one summand is left is its activation, and no more than the value where it has none."""
    b = Builder(np.random.default_rng(0))
    x = b.value((2, 3, 3))
    gate = b.gate(x, 1)
    with b.under(unless=[gate]):
        other = b.conv(x, 2)
    y = b.op("add", [x, other], b.shape(x), activation="elu", alpha=0.5)
    y = b.op("add", [y, other], b.shape(y))
    plain = without_gates(Artifact(b.program(x, y), b.tensors)).program
    assert [(op.kind, op.inputs, dict(op.attributes)) for op in plain.ops] == [
        ("activation", ("v0",), {"function": "elu", "alpha": 0.5})
    ]
    assert plain.outputs == {"output": plain.ops[0].output}


def test_a_conv_of_a_closed_gate_hands_on_its_residual():
    b = Builder(np.random.default_rng(0))
    x = b.value((2, 3, 3))
    with b.under(unless=[b.gate(x, 1)]):
        y = b.conv(x, 2, residual=x, activation="relu")
    plain = without_gates(Artifact(b.program(x, y), b.tensors)).program
    assert [(op.kind, op.attributes["function"]) for op in plain.ops] == [("activation", "relu")]


def test_squeeze_and_excitation_is_the_networks_own():
    """Only a product with the numbers that a gate decides by comes of gating."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 3, 3))
    saliency = b.linear(b.pooled(x), 4)
    gate = b.op("gate", [saliency], (4,), top_k=2)
    y = b.op("multiply", [b.conv(x, 4, gate=gate), saliency], (4, 3, 3), gate)
    factors = b.linear(b.pooled(y), 4, "sigmoid", gate=gate)
    y = b.op("multiply", [y, factors], (4, 3, 3), gate)
    plain = without_gates(Artifact(b.program(x, b.conv(y, 2)), b.tensors)).program
    assert [op.kind for op in plain.ops] == ["conv", "global_pool", "linear", "multiply", "conv"]
    assert plain.ops[3].inputs[1] == factors


def test_what_belongs_to_gating_is_said_by_the_rooms():
    assert {kind for kind, room in ROOMS.items() if room.plain != "op"} == GATING | {"multiply"}
