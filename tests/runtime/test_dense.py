"""A program without its gates is the program with all gates open."""

from dataclasses import replace

import numpy as np
import pytest
from conformance.generate import random_program

from sluicegate_runtime import Artifact, Op, dense_program, run_reference, verify_program

GATES_ONLY = {"gate", "exit", "select", "scale", "lstm", "slice", "constant"}


def opened(op: Op) -> Op:
    """A gate that opens by its threshold, whatever it did before."""
    return replace(op, attributes={**op.attributes, "top_k": 0}) if op.kind == "gate" else op


@pytest.mark.parametrize("seed", range(40))
def test_dense_is_everything_open(seed):
    program, tensors = random_program(seed)
    dense = dense_program(Artifact(program, tensors))
    verify_program(dense.program, dense.tensors)
    assert not {op.kind for op in dense.program.ops} & GATES_ONLY
    assert all(value.gate is None and value.kind == "tensor" for value in dense.program.values)
    assert dense.tensors.keys() == {name for op in dense.program.ops for name in op.tensors.values()}
    if {op.kind for op in program.ops} & {"exit", "scale"}:
        return  # these do something else than to close channels
    shape = next(value.shape for value in program.values if value.name == program.input)
    images = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    wide = replace(program, ops=tuple(opened(op) for op in program.ops))
    wanted = run_reference(wide, tensors, images, threshold=0.0)
    found = run_reference(dense.program, dense.tensors, images)
    np.testing.assert_allclose(found.output, wanted.output, rtol=1e-6, atol=1e-6 * np.abs(wanted.output).max())
    assert (found.macs <= wanted.macs).all()


def test_a_program_without_gates_stays_as_it_is():
    dense = dense_program(Artifact(*random_program(3)))
    assert dense_program(dense).program == dense.program
