"""Each rule has a program that breaks it, and only it."""

import dataclasses

import numpy as np
import pytest
from conformance.generate import Builder, random_program

from sluicegate_runtime import InputError, Op, Program, Value, verify_program


def small() -> tuple[Program, dict[str, np.ndarray]]:
    """A gated residual block under a layer gate, and a classifier."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    layer = b.gate(x, 1)
    b.when = layer
    gate = b.gate(x, 4)
    mid = b.conv(x, 8, 3, gate=gate, activation="relu")
    y = b.conv(mid, 4, 3, residual=x, activation="relu")
    b.when = None
    return b.program(x, b.linear(b.pooled(y), 3)), b.tensors


def with_op(program: Program, of_kind: str, **changes) -> Program:
    """`program` with the first op of one kind changed."""
    at = next(i for i, op in enumerate(program.ops) if op.kind == of_kind)
    op = program.ops[at]
    if "attributes" in changes:
        changes["attributes"] = {**op.attributes, **changes["attributes"]}
    changed = dataclasses.replace(op, **changes)
    return dataclasses.replace(program, ops=(*program.ops[:at], changed, *program.ops[at + 1 :]))


def with_value(program: Program, name: str, **changes) -> Program:
    values = tuple(dataclasses.replace(v, **changes) if v.name == name else v for v in program.values)
    return dataclasses.replace(program, values=values)


@pytest.mark.parametrize("seed", range(100))
def test_random_programs_are_accepted(seed):
    verify_program(*random_program(seed))


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        ("conv", {"kind": "sort"}, "unknown kind 'sort'"),
        ("conv", {"inputs": ("nothing",)}, "reads 'nothing' before it is written"),
        ("conv", {"inputs": ()}, "reads 1 or 2 values, not 0"),
        ("conv", {"tensors": {}}, "needs a tensor for 'weight'"),
        ("conv", {"tensors": {"weight": "gone"}}, "'gone' is not in the file"),
        ("conv", {"attributes": {"colour": 3}}, "unknown attribute 'colour'"),
        ("conv", {"attributes": {"stride": 2}}, "stride=2 must be like"),
        ("conv", {"attributes": {"stride": (0, 1)}}, "stride and dilation from 1"),
        ("conv", {"attributes": {"padding": (3, 1)}}, "padding 3 must be less than"),
        ("conv", {"attributes": {"dilation": (9, 9)}}, "exceeds the padded side"),
        ("conv", {"attributes": {"groups": 3}}, "x 3 groups"),
        ("conv", {"attributes": {"counted": False}}, "may be left out of the count"),
        ("conv", {"attributes": {"activation": "swoosh"}}, "unknown activation 'swoosh'"),
        ("conv", {"attributes": {"stride": (2, 2)}}, "the rule gives"),
        ("conv", {"when": "v0"}, "must be a written gate of one flag"),
        ("gate", {"attributes": {"threshold": float("inf")}}, "threshold must be finite"),
        ("gate", {"output": "v0"}, "writes 'v0' a second time"),
        ("gate", {"output": None}, "is not among the values"),
        ("linear", {"inputs": ("v0",)}, "must be \\[out, in\\] for an input of shape"),
        ("global_pool", {"tensors": {"weight": "conv8.weight"}}, "has no use for tensor"),
    ],
)
def test_an_op_that_breaks_a_rule_is_refused(kind, changes, complaint):
    program, tensors = small()
    program = with_op(program, kind, **changes)
    with pytest.raises(InputError, match=complaint) as refusal:
        verify_program(program, tensors)
    assert "\n" not in str(refusal.value)


def recurrent() -> tuple[Program, dict[str, np.ndarray]]:
    """Two steps of an LSTM and what is read of its state."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    state = b.lstm(b.pooled(x), 3, b.lstm(b.pooled(x), 3))
    return b.program(x, b.op("slice", [state], (3,), size=3)), b.tensors


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        ("lstm", {"inputs": ("v0",)}, "must be vectors without a gate"),
        ("lstm", {"tensors": {"weight": "lstm3.weight"}}, "must be \\[4 \\* hidden, in\\]"),
        ("lstm", {"inputs": ("v1", "v1")}, "must be \\[4 \\* hidden, in\\]"),
        ("slice", {"attributes": {"size": 0}}, "size 0 is outside 1..6"),
        ("slice", {"attributes": {"size": 7}}, "size 7 is outside 1..6"),
        ("slice", {"inputs": ("v0",)}, "reads a vector"),
    ],
)
def test_a_recurrent_op_that_breaks_a_rule_is_refused(kind, changes, complaint):
    program, tensors = recurrent()
    verify_program(program, tensors)
    with pytest.raises(InputError, match=complaint):
        verify_program(with_op(program, kind, **changes), tensors)


def test_a_value_that_may_be_absent_is_not_read_outside_its_region():
    program, tensors = small()
    _, last = [op for op in program.ops if op.kind == "conv"]
    alone = dataclasses.replace(last, inputs=last.inputs[:1])  # without its residual
    program = dataclasses.replace(program, ops=tuple(alone if op is last else op for op in program.ops))
    with pytest.raises(InputError, match="out of a region that may be skipped"):
        verify_program(program, tensors)


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("v0", {"shape": (4, 6)}, "must be \\(C, H, W\\)"),
        ("v0", {"shape": (0, 6, 6)}, "is outside"),
        ("v0", {"shape": (60_000, 9_000, 9_000)}, "elements"),
        ("v0", {"kind": "gate", "shape": (4,)}, "input 'v0' must be a tensor"),
        ("v0", {"gate": "v4"}, "input 'v0' must be a tensor"),
        ("v1", {"gate": "v2"}, "is not a gate of a tensor"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(name, changes, complaint):
    program, tensors = small()
    with pytest.raises(InputError, match=complaint):
        verify_program(with_value(program, name, **changes), tensors)


def test_channels_must_be_a_multiple_of_the_flags():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    y = b.conv(b.conv(x, 7, gate=b.gate(x, 2)), 2)
    with pytest.raises(InputError, match="7 channels are no multiple of the 2 flags"):
        verify_program(b.program(x, y), b.tensors)


def test_an_unwritten_value_is_refused():
    program, tensors = small()
    program = dataclasses.replace(program, values=(*program.values, Value("spare", (3,))))
    with pytest.raises(InputError, match="'spare': no op writes it"):
        verify_program(program, tensors)


def test_the_output_must_not_be_gated_or_skipped():
    program, tensors = small()
    convs = [op.output for op in program.ops if op.kind == "conv"]
    with pytest.raises(InputError, match="must be a computed tensor without a gate"):
        verify_program(dataclasses.replace(program, output=convs[0]), tensors)


def test_an_exit_must_end_with_the_shape_of_the_output():
    program, tensors = small()
    layer = next(op.output for op in program.ops if op.kind == "gate")
    program = dataclasses.replace(program, ops=(*program.ops, Op("exit", "e", ("v0", str(layer)), None)))
    with pytest.raises(InputError, match="ends with shape"):
        verify_program(program, tensors)


def test_too_much_work_is_refused():
    weight = np.ones((4000, 4000, 3, 3), np.float32)
    values = (Value("x", (4000, 128, 128)), Value("y", (4000, 128, 128)))
    op = Op("conv", "c", ("x",), "y", {"weight": "w"}, {"padding": (1, 1)})
    with pytest.raises(InputError, match="multiply-adds"):
        verify_program(Program("x", "y", values, (op,)), {"w": weight})


def test_tensors_must_be_float32():
    program, tensors = small()
    tensors["conv8.weight"] = tensors["conv8.weight"].astype(np.float64)
    with pytest.raises(InputError, match="is float64, must be float32"):
        verify_program(program, tensors)


def test_a_number_that_the_engine_cannot_hold_is_refused():
    """With one window alone any stride gives the right shape."""
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 4, 4))
    program = b.program(x, b.conv(x, 2, 4, 1, 0))
    op = dataclasses.replace(program.ops[0], attributes={"stride": (1 << 40, 1)})
    with pytest.raises(InputError, match="beyond 2147483647"):
        verify_program(dataclasses.replace(program, ops=(op,)), b.tensors)


@pytest.mark.parametrize(
    ("kind", "attributes", "complaint"),
    [
        ("max_pool", {"kernel": (20_000, 1)}, "kernel reaches over 20000 pixels, at most 16384"),
        ("avg_pool", {"stride": (1, 65_537)}, "stride is 65537, at most 65536"),
        ("subsample", {"stride": 65_537}, r"stride 65537 is outside 1\.\.65536"),
        ("conv", {"stride": (65_537, 1)}, "stride is 65537, at most 65536"),
    ],
)
def test_sizes_have_limits(kind, attributes, complaint):
    values = (Value("x", (2, 4, 4)), Value("y", (2, 1, 1)))
    op = Op(kind, "op", ("x",), "y", {"weight": "w"} if kind == "conv" else {}, attributes)
    with pytest.raises(InputError, match=complaint):
        verify_program(Program("x", "y", values, (op,)), {"w": np.ones((2, 2, 4, 4), np.float32)})


def test_a_sum_has_a_limit():
    b = Builder(np.random.default_rng(0))
    x = b.value((2, 4, 4))
    program = b.program(x, b.op("add", [x] * 4097, (2, 4, 4)))
    with pytest.raises(InputError, match="reads 4097 values, at most 4096"):
        verify_program(program, b.tensors)


def test_summands_are_work():
    values = [Value("v0", (1024, 256, 256)), *(Value(f"v{i}", (1024, 256, 256)) for i in range(1, 10))]
    ops = tuple(Op("add", f"add{i}", ("v0",) * 4000, f"v{i}") for i in range(1, 10))
    with pytest.raises(InputError, match="multiply-adds: 2415919104000 is more than"):
        verify_program(Program("v0", "v9", tuple(values), ops), {})


@pytest.mark.parametrize("shape", [(0,), ()])
def test_a_gate_without_flags_is_refused(shape):
    """Even if a value that it closes is listed before it."""
    program, tensors = small()
    gate = next(value.gate for value in program.values if value.gate)
    changed = with_value(program, gate, shape=shape)
    changed = dataclasses.replace(changed, values=tuple(sorted(changed.values, key=lambda v: v.gate is None)))
    with pytest.raises(InputError, match=f"value '{gate}': shape"):
        verify_program(changed, tensors)
