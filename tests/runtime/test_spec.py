"""Each rule has a program that breaks it, and only it."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from conformance.generate import Builder, random_program
from conformance.wild import random_ops

from sluicegate_runtime import ChannelRun, InputError, Op, Program, Value, verify_program


def small() -> tuple[Program, dict[str, np.ndarray]]:
    """A gated residual block under a layer gate, and a classifier."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    with b.under(b.gate(x, 1)):
        gate = b.gate(x, 4)
        mid = b.conv(x, 8, 3, gate=gate, activation="relu")
        y = b.conv(mid, 4, 3, residual=x, activation="relu")
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


@pytest.mark.parametrize("generate", [random_program, random_ops])
@pytest.mark.parametrize("seed", range(100))
def test_random_programs_are_accepted(generate, seed):
    verify_program(*generate(seed))


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
        ("conv", {"when": ("v0",)}, "'v0' must be a written gate of one flag"),
        ("conv", {"unless": ("v8",)}, "'v8' must be a written gate of one flag"),
        ("conv", {"when": ("v4",), "unless": ("v4",)}, "names a gate twice in when and unless"),
        ("conv", {"when": ("v4", "v4")}, "names a gate twice in when and unless"),
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
        ("v0", {"channels": (ChannelRun(4, "v4", 0, 4),)}, "input 'v0' must be a tensor"),
        ("v1", {"channels": (ChannelRun(4, "v2"),)}, "its channels name 'v2', which is no gate"),
        ("v1", {"channels": (ChannelRun(4, "gone"),)}, "its channels name 'gone', which is no gate"),
        ("v8", {"channels": (ChannelRun(4, "v8"),)}, "the flags of a gate cannot be gated themselves"),
        ("v9", {"channels": (ChannelRun(8, "v8"),)}, "does not fit the 4 flags of its gate"),
        ("v9", {"channels": (ChannelRun(8, "v8", 1, 2),)}, "does not fit the 4 flags of its gate"),
        ("v9", {"channels": (ChannelRun(8, "v8", -1, 2),)}, "does not fit the 4 flags of its gate"),
        ("v9", {"channels": (ChannelRun(8, "v8", 0, 0),)}, "does not fit the 4 flags of its gate"),
        ("v9", {"channels": (ChannelRun(0, "v8"), ChannelRun(8))}, "does not fit the 4 flags of its gate, or is empty"),
        ("v9", {"channels": (ChannelRun(4, "v8"), ChannelRun(5))}, "its runs have 9 channels, its shape 8"),
        ("v9", {"channels": (ChannelRun(8, None, 1),)}, "does not fit"),
        ("v9", {"channels": (ChannelRun(8, "v8", 2**40, 2**40),)}, "does not fit the 4 flags of its gate"),
        ("v9", {"channels": (ChannelRun(8, "v8", 0, 2**40),)}, "does not fit the 4 flags of its gate"),
        ("v1", {"channels": (ChannelRun(4, "v8"),)}, "gate 'v8' is used before it is written"),
        (
            "v10",
            {"channels": (ChannelRun(4, "v8"),)},
            "channel 0 of its output is closed by flag 0 of 'v8', must be always",
        ),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(name, changes, complaint):
    program, tensors = small()
    with pytest.raises(InputError, match=complaint):
        verify_program(with_value(program, name, **changes), tensors)


def test_a_map_needs_no_rule():
    """Seven channels of two flags, in no order, with open ones between."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    gate = b.gate(x, 2)
    owners = [(gate, 1), None, (gate, 0), (gate, 1), (gate, 1), None, (gate, 0)]
    verify_program(b.program(x, b.conv(b.conv(x, 7, gate=owners), 2)), b.tensors)


def test_an_unwritten_value_is_refused():
    program, tensors = small()
    program = dataclasses.replace(program, values=(*program.values, Value("spare", (3,))))
    with pytest.raises(InputError, match="'spare': no op writes it"):
        verify_program(program, tensors)


def test_the_output_must_not_be_gated_or_skipped():
    program, tensors = small()
    convs = [op.output for op in program.ops if op.kind == "conv"]
    with pytest.raises(InputError, match="must be a computed tensor without a gate"):
        verify_program(dataclasses.replace(program, outputs={"output": str(convs[0])}), tensors)
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    with b.under(b.gate(x, 1)):
        y = b.conv(x, 4)
    with pytest.raises(InputError, match=f"output '{y}' lies in a region that may be skipped"):
        verify_program(b.program(x, y), b.tensors)


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ({}, "it has no output"),
        ({"output": "gone"}, "output 'gone' must be a computed tensor"),
        ({"output": "v4"}, "output 'v4' must be a computed tensor"),
        ({"": "v12"}, "must have a printable name"),
        ({"two\nlines": "v12"}, "must have a printable name"),
        ({str(i): "v12" for i in range(4097)}, "outputs: 4097 is more than 4096"),
    ],
)
def test_outputs_that_are_none_are_refused(outputs, complaint):
    program, tensors = small()
    with pytest.raises(InputError, match=complaint) as refusal:
        verify_program(dataclasses.replace(program, outputs=outputs), tensors)
    assert "\n" not in str(refusal.value)


def test_classes_name_the_scores_or_the_maps_of_the_only_output():
    program, tensors = small()
    verify_program(dataclasses.replace(program, classes=("a", "b", "c")), tensors)
    for classes, outputs in ((("a", "b"), {"output": "v12"}), (("a", "b", "c"), {"one": "v12", "two": "v12"})):
        with pytest.raises(InputError, match=f"{len(classes)} classes, but outputs of shapes"):
            verify_program(dataclasses.replace(program, classes=classes, outputs=outputs), tensors)
    verify_program(dataclasses.replace(program, classes=("a", "b", "c", "d"), outputs={"map": "v0"}), tensors)
    with pytest.raises(InputError, match=r"3 classes, but outputs of shapes \(4, 6, 6\)"):
        verify_program(dataclasses.replace(program, classes=("a", "b", "c"), outputs={"map": "v0"}), tensors)


def with_exit(value: str | None = None, **region) -> tuple[Program, dict[str, np.ndarray], list[str]]:
    """A classifier with an exit; `region` is that of the exit."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    gate = b.gate(x, 1)
    with b.under(unless=[gate]):
        early = b.linear(b.pooled(x), 3)
    with b.under(gate):
        late = b.gate(x, 1)
    b.ops.append(Op("exit", "e", (value or early, gate), None, **region))
    y = b.linear(b.pooled(x), 3)
    return b.program(x, y), b.tensors, [gate, late, y]


def test_an_exit_ends_with_what_the_program_ends_with():
    program, tensors, (gate, late, y) = with_exit()
    verify_program(program, tensors)
    for changes, complaint in (
        ({"inputs": ("v0", gate)}, "ends with shape .4, 6, 6., the program with .3,."),
        ({"inputs": (gate, gate)}, f"'{gate}' is of the wrong kind"),
        ({"inputs": ("v0",)}, "exit reads 2 values, not 1"),
        ({"inputs": (program.ops[-3].inputs[0], late)}, "out of a region|lies in a region"),
        ({"when": (gate,)}, "exit cannot stand in a region that may be skipped"),
        ({"unless": (gate,)}, "exit cannot stand in a region that may be skipped"),
        ({"output": y}, "has no output"),
    ):
        with pytest.raises(InputError, match=complaint):
            verify_program(with_op(program, "exit", **changes), tensors)
    with pytest.raises(InputError, match="it has 2 outputs; one with an exit has one"):
        verify_program(dataclasses.replace(program, outputs={"one": y, "two": y}), tensors)


def test_an_exit_may_look_only_where_its_own_gate_is_closed():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    gate, other = b.gate(x, 1), b.gate(x, 1)
    for when, unless in (((gate,), ()), ((), (other,)), ((), (gate, other))):
        with b.under(*when, unless=unless):
            early = b.linear(b.pooled(x), 3)
        y = b.linear(b.pooled(x), 3)
        program = b.program(x, y)
        program = dataclasses.replace(program, ops=(*program.ops, Op("exit", "e", (early, gate), None)))
        with pytest.raises(InputError, match="out of a region that may be skipped"):
            verify_program(program, b.tensors)


def test_an_exit_has_a_gate_that_is_always_evaluated():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    with b.under(b.gate(x, 1)):
        gate = b.gate(x, 1)
    y = b.linear(b.pooled(x), 3)
    b.exit(y, gate)
    with pytest.raises(InputError, match=f"reads '{gate}' out of a region that may be skipped"):
        verify_program(b.program(x, y), b.tensors)


def test_unless_names_gates_that_are_always_evaluated():
    """One that was not would count as closed, and its ops would run for no reason."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    with b.under(b.gate(x, 1)):
        inner = b.gate(x, 1)
        with b.under(unless=[inner]):
            b.conv(x, 4)
    with pytest.raises(InputError, match=f"unless '{inner}': this gate lies in a region that may be skipped"):
        verify_program(b.program(x, x), b.tensors)


def test_a_gate_brings_the_region_that_it_was_made_in():
    """Under an inner gate alone the outer one is open, too; under the outer one the inner may be closed."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    outer = b.gate(x, 1)
    with b.under(outer):
        inner, y = b.gate(x, 1), b.conv(x, 4)
    with b.under(inner):
        z = b.conv(y, 4)
    verify_program(b.program(x, b.op("add", [x, z], b.shape(x))), b.tensors)
    with b.under(outer):
        b.conv(z, 4)
    with pytest.raises(InputError, match=f"reads '{z}' out of a region that may be skipped"):
        verify_program(b.program(x, x), b.tensors)


def test_a_sum_has_an_input_that_is_always_there():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    outer, other = b.gate(x, 1), b.gate(x, 1)
    with b.under(outer):
        y = b.conv(x, 4)
        with b.under(other):
            z = b.conv(x, 4)
        inside = b.op("add", [y, z], b.shape(x))
    verify_program(b.program(x, b.op("add", [x, y, z, inside], b.shape(x))), b.tensors)
    b.op("add", [y, z], b.shape(x))
    with pytest.raises(InputError, match="adds only values that may have been skipped"):
        verify_program(b.program(x, x), b.tensors)


def test_a_residual_is_there_wherever_its_conv_runs():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    outer, other = b.gate(x, 1), b.gate(x, 1)
    with b.under(outer):
        y = b.conv(x, 4)
    with b.under(other):
        b.conv(x, 4, residual=y)
    with pytest.raises(InputError, match=f"reads '{y}' out of a region that may be skipped"):
        verify_program(b.program(x, x), b.tensors)


def test_a_residual_is_closed_as_its_sum_is():
    b = Builder(np.random.default_rng(0))
    x = b.value((4, 6, 6))
    gate = b.gate(x, 4)
    b.conv(x, 4, gate=gate, residual=x)
    with pytest.raises(
        InputError, match=f"channel 0 of its output is closed by flag 0 of '{gate}', must be always open"
    ):
        verify_program(b.program(x, x), b.tensors)


def test_names_are_given_once():
    program, tensors = small()
    with pytest.raises(InputError, match="two ops share a name"):
        verify_program(with_op(program, "conv", name="linear1"), tensors)
    twice = dataclasses.replace(program, values=(*program.values, program.values[0]))
    with pytest.raises(InputError, match="two values share a name"):
        verify_program(twice, tensors)


def test_too_much_work_is_refused():
    weight = np.ones((4000, 4000, 3, 3), np.float32)
    values = (Value("x", (4000, 128, 128)), Value("y", (4000, 128, 128)))
    op = Op("conv", "c", ("x",), "y", {"weight": "w"}, {"padding": (1, 1)})
    with pytest.raises(InputError, match="multiply-adds"):
        verify_program(Program("x", {"output": "y"}, values, (op,)), {"w": weight})


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


def test_a_sum_has_a_limit():
    b = Builder(np.random.default_rng(0))
    x = b.value((2, 4, 4))
    program = b.program(x, b.op("add", [x] * 4097, (2, 4, 4)))
    with pytest.raises(InputError, match="reads 4097 values, at most 4096"):
        verify_program(program, b.tensors)


def test_runs_have_a_limit():
    """A map of a million runs that ten thousand ops read would take hours to look at."""
    b = Builder(np.random.default_rng(0))
    x = b.value((40_000, 1, 1))
    gate = b.op("gate", [b.constant(1)], (1,))
    runs = tuple(ChannelRun(1, gate) for _ in range(40_000))
    values = [Value(f"y{i}", b.shape(x), channels=runs) for i in range(30)]
    program = b.program(x, x)
    ops = (Op("select", "y0", (x,), "y0"), *(Op("affine", f"y{i}", (f"y{i - 1}",), f"y{i}") for i in range(1, 30)))
    program = dataclasses.replace(program, values=(*program.values, *values), ops=(*program.ops, *ops))
    with pytest.raises(InputError, match=r"runs of channels .*: [0-9]+ is more than 2097152"):
        verify_program(program, b.tensors)


def test_a_sum_of_thousands_of_wide_vectors_takes_no_memory_to_look_at():
    b = Builder(np.random.default_rng(0))
    x = b.value((1 << 20, 1, 1))
    program = b.program(x, b.op("add", [x] * 4096, b.shape(x)))
    tracemalloc.start()
    verify_program(program, b.tensors)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


def test_summands_are_work():
    values = [Value("v0", (1024, 256, 256)), *(Value(f"v{i}", (1024, 256, 256)) for i in range(1, 10))]
    ops = tuple(Op("add", f"add{i}", ("v0",) * 4000, f"v{i}") for i in range(1, 10))
    with pytest.raises(InputError, match="multiply-adds: 2415919104000 is more than"):
        verify_program(Program("v0", {"output": "v9"}, tuple(values), ops), {})


@pytest.mark.parametrize("shape", [(0,), ()])
def test_a_gate_without_flags_is_refused(shape):
    """Even if a value that it closes is listed before it."""
    program, tensors = small()
    changed = with_value(program, "v8", shape=shape)
    changed = dataclasses.replace(changed, values=tuple(sorted(changed.values, key=lambda v: not v.channels)))
    with pytest.raises(InputError, match="value 'v8': shape"):
        verify_program(changed, tensors)
