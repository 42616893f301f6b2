"""The walk through a program: masks, regions, exits, outputs and what is counted. The ops are tested in ops/."""

import numpy as np
import pytest
from conformance.generate import Builder, exit_early
from one_op import random

from sluicegate_runtime import InputError, run_reference
from sluicegate_runtime.reference import logit_of

torch = pytest.importorskip("torch")
F = torch.nn.functional

HEAD = 4 * 36 + 4 * 16 + 16  # multiply-adds of a head of one flag on four channels of 6 x 6


def build(shape, seed=0) -> tuple[Builder, str, np.ndarray]:
    b = Builder(np.random.default_rng(seed))
    return b, b.value(shape), random(*shape, seed=seed)


def run(b: Builder, x: str, y: str | dict[str, str], image: np.ndarray, threshold: float | None = None):
    return run_reference(b.program(x, y), b.tensors, image[None], threshold)


def agrees(result, expected) -> None:
    np.testing.assert_allclose(result.output[0], np.asarray(expected), rtol=1e-5, atol=1e-5)


def doubled(b: Builder, x: str, times: float = 2.0) -> str:
    """x times a number, by a convolution that counts."""
    channels = b.shape(x)[0]
    weight = np.eye(channels)[:, :, None, None] * times
    return b.op("conv", [x], b.shape(x), tensors={"weight": weight})


@pytest.mark.parametrize("granularity", [1, 2, 4])
def test_closed_channels_are_zero_and_not_counted(granularity):
    """The masked network equals the one whose closed channels are cut out; its multiply-adds are that one's."""
    b, x, image = build((5, 6, 7), seed=10 + granularity)
    gate = b.gate(x, 8 // granularity, "random")
    mid = b.conv(x, 8, 3, gate=gate, activation="sigmoid")  # sigmoid(0) is not 0: the mask must come after it
    y = b.conv(mid, 4, 3, residual=b.conv(x, 4, 1), activation="relu")
    result = run(b, x, y, image)
    flags = np.repeat(result.gates[gate][0], granularity)
    assert 0 < flags.sum() < 8

    weights = {name: torch.from_numpy(tensor) for name, tensor in b.tensors.items()}
    first, side, last = (op.name for op in b.ops if op.kind == "conv")
    t = torch.from_numpy(image)[None]
    h = torch.sigmoid(F.conv2d(t, weights[f"{first}.weight"][flags], weights[f"{first}.bias"][flags], padding=1))
    h = F.conv2d(h, weights[f"{last}.weight"][:, flags], weights[f"{last}.bias"], padding=1)
    agrees(result, F.relu(h + F.conv2d(t, weights[f"{side}.weight"], weights[f"{side}.bias"]))[0])
    head = 5 * 42 + 5 * 16 + 16 * (8 // granularity)
    assert result.macs[0] == head + 42 * (int(flags.sum()) * 9 * (5 + 4) + 5 * 4)


def test_several_gates_may_close_channels_of_one_value():
    b, x, image = build((4, 2, 2))
    one, two = b.fixed([True, False]), b.fixed([False])
    y = b.op("select", [x], (4, 2, 2), [(one, 0), (one, 1), (two, 0), None])
    agrees(run(b, x, b.op("select", [y], (4, 2, 2)), image), image * np.array([1, 0, 0, 1])[:, None, None])


@pytest.mark.parametrize("pattern", ["open", "closed"])
def test_a_closed_layer_gate_leaves_the_residual(pattern):
    b, x, image = build((4, 6, 6))
    with b.under(b.gate(x, 1, pattern)):
        gate = b.gate(x, 4, "open")
        y = b.conv(b.conv(x, 8, 3, gate=gate), 4, 3, residual=x, activation="relu")
    result = run(b, x, y, image)
    if pattern == "closed":
        agrees(result, F.relu(torch.from_numpy(image)))
        assert result.macs[0] == HEAD
        assert result.open_rate[gate][0] == 0
    else:
        assert result.macs[0] == HEAD + 4 * 36 + 4 * 16 + 16 * 4 + 36 * 9 * (4 * 8 + 8 * 4)
        assert result.open_rate[gate][0] == 1


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_nested_layer_gates(outer, inner, inside):
    """Fault 21: x + f(x + g(x)) with f = 3 x, g = 2 x; the inner gate is made in f's region, or before it."""
    b, x, image = build((4, 6, 6))
    f, g = b.fixed([outer]), None if inside else b.fixed([inner])
    with b.under(f):
        g = g or b.fixed([inner])
        with b.under(g):
            branch = doubled(b, x)
        summed = b.op("add", [x, branch], b.shape(x))
        y = doubled(b, summed, 3.0)
    result = run(b, x, b.op("add", [x, y], b.shape(x)), image)
    agrees(result, image * (1 + outer * 3 * (1 + inner * 2)))
    assert result.macs[0] == 16 * 36 * (outer + (outer and inner))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_an_op_runs_where_all_gates_of_when_are_open(first, second):
    """Fault 21, with two gates that know nothing of each other."""
    b, x, image = build((4, 6, 6))
    gates = b.fixed([first]), b.fixed([second])
    with b.under(*gates):
        y = doubled(b, x)
    result = run(b, x, b.op("add", [x, y], b.shape(x)), image)
    agrees(result, image * (3 if first and second else 1))
    assert result.macs[0] == (16 * 36 if first and second else 0)


@pytest.mark.parametrize("is_open", [True, False])
def test_unless_is_the_other_branch(is_open):
    b, x, image = build((4, 6, 6))
    gate = b.fixed([is_open])
    with b.under(gate):
        dear = doubled(b, doubled(b, x))
    with b.under(unless=[gate]):
        cheap = doubled(b, x, 5.0)
    result = run(b, x, b.op("add", [x, dear, cheap], b.shape(x)), image)
    agrees(result, image * (5 if is_open else 6))
    assert result.macs[0] == 16 * 36 * (2 if is_open else 1)


def test_a_gate_that_is_not_evaluated_is_closed():
    """So are the channels that it closes outside of its region."""
    b, x, image = build((4, 6, 6))
    with b.under(b.fixed([False])):
        gate = b.fixed([True, True])
    y = b.op("select", [x], (4, 6, 6), [(gate, 0), (gate, 1), None, None])
    result = run(b, x, b.op("select", [y], (4, 6, 6)), image)
    assert not result.output[0, :2].any() and np.array_equal(result.output[0, 2:], image[2:])
    assert not result.gates[gate].any()


def test_a_residual_that_is_absent_leaves_nothing():
    b, x, image = build((4, 6, 6))
    outer, inner = b.fixed([False]), b.fixed([True])
    with b.under(outer):
        residual = doubled(b, x)
        with b.under(inner):
            y = b.conv(x, 4, 1, residual=residual)
    agrees(run(b, x, b.op("add", [x, y], b.shape(x)), image), image)


@pytest.mark.parametrize("goes_on", [True, False])
def test_an_exit_ends_a_sample_where_its_gate_is_closed(goes_on):
    b, x, image = build((4, 6, 6))
    gate = b.fixed([goes_on])
    with b.under(unless=[gate]):
        early = b.linear(b.pooled(x), 3)
    b.exit(early, gate)
    y = b.linear(b.pooled(b.conv(x, 8)), 3)
    result = run(b, x, y, image)
    assert result.exits[0] == (-1 if goes_on else 0)
    assert result.macs[0] == (36 * 9 * 4 * 8 + 8 * 36 + 8 * 3 if goes_on else 4 * 36 + 4 * 3)


def test_a_higher_threshold_means_less_work():
    """Whatever a gate is for: channels, layers and exits."""
    b, x, image = build((4, 6, 6))
    exit_early(b, x, 3)
    with b.under(b.gate(x, 1, "random", top_k=0)):
        y = b.conv(b.conv(x, 8, gate=b.gate(x, 8, "random", top_k=0)), 4, residual=x)
    y = b.linear(b.pooled(y), 3)
    results = [run(b, x, y, image, threshold) for threshold in (0.0, 0.5, 1.0)]
    macs = [int(result.macs[0]) for result in results]
    assert macs == sorted(macs, reverse=True) and macs[0] > macs[-1]
    assert [result.exits[0] for result in (results[0], results[-1])] == [-1, 0]


def test_exits_are_numbered_in_order():
    b, x, image = build((4, 6, 6))
    for goes_on in (True, False):
        b.exit(b.linear(b.pooled(x), 3), b.fixed([goes_on]))
    assert run(b, x, b.linear(b.pooled(x), 3), image).exits[0] == 1


def test_outputs_have_their_names_and_order():
    b, x, image = build((4, 6, 6))
    y, z = b.conv(x, 2), b.pooled(x)
    result = run(b, x, {"scores": z, "map": y, "again": z, "image": x}, image)
    assert list(result.outputs) == ["scores", "map", "again", "image"]
    assert [array.shape for array in result.outputs.values()] == [(1, 4), (1, 2, 6, 6), (1, 4), (1, 4, 6, 6)]
    assert np.array_equal(result.output, result.outputs["scores"])
    np.testing.assert_allclose(result.output[0], image.mean((1, 2)), rtol=1e-5)
    assert np.array_equal(result.outputs["image"][0], image)


def test_threshold_is_a_probability():
    assert logit_of(0.5) == 0
    assert logit_of(0) == -np.inf
    assert logit_of(1) == np.inf
    assert logit_of(0.9) == pytest.approx(np.log(9))
    with pytest.raises(InputError, match=r"threshold: 1.5 is not in \[0, 1\]"):
        logit_of(1.5)


@pytest.mark.parametrize("images", [np.zeros((1, 4, 6, 6)), np.zeros((1, 4, 6, 5), np.float32), [1, 2]])
def test_images_of_another_form_are_refused(images):
    b, x, _ = build((4, 6, 6))
    with pytest.raises(InputError, match=r"images: .* is not a float32 array"):
        run_reference(b.program(x, b.conv(x, 2)), b.tensors, images)


def test_an_empty_batch_gives_empty_results():
    b, x, _ = build((4, 6, 6))
    result = run_reference(b.program(x, b.conv(x, 2)), b.tensors, np.zeros((0, 4, 6, 6), np.float32))
    assert result.output.shape == (0, 2, 6, 6)
    assert result.macs.shape == (0,)
