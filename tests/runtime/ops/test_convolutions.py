"""conv, transposed_conv and linear against torch, and their count against layers that are really cut."""

import numpy as np
import pytest
from conformance.builder import Builder
from one_op import open_channels, random, run_op

from sluicegate_runtime import InputError, run_reference
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS, activate

torch = pytest.importorskip("torch")
F = torch.nn.functional


def batch(array: np.ndarray):
    return torch.from_numpy(array.astype(np.float32))[None]


def agrees(result, expected) -> None:
    np.testing.assert_allclose(result.output[0], expected[0].numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_conv(groups, kernel, stride, dilation):
    x, weight, bias = random(6, 9, 11), random(12, 6 // groups, *kernel, seed=1), random(12, seed=2)
    window = {"stride": stride, "padding": tuple(k // 2 for k in kernel), "dilation": dilation, "groups": groups}
    expected = F.conv2d(batch(x), batch(weight)[0], batch(bias)[0], **window)
    result = run_op("conv", x, tensors={"weight": weight, "bias": bias}, activation="relu", **window)
    agrees(result, F.relu(expected))
    assert result.macs[0] == weight.size * expected[0, 0].numel()


@pytest.mark.parametrize("groups", [1, 6])
@pytest.mark.parametrize(("padding", "extra"), [((0, 0), (1, 1)), ((1, 3), (1, -3)), ((2, 2), (-1, 2))])
def test_a_plane_with_more_padding_on_one_side(groups, padding, extra):
    x, weight = random(6, 9, 11), random(12, 6 // groups, 3, 5, seed=1)
    edges = padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0]
    expected = F.conv2d(F.pad(batch(x), edges), batch(weight)[0], stride=2, groups=groups)
    window = {"stride": (2, 2), "padding": padding, "extra_padding": extra, "groups": groups}
    result = run_op("conv", x, tensors={"weight": weight}, **window)
    agrees(result, expected)
    assert result.macs[0] == weight.size * expected[0, 0].numel()


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("extra", [(0, 0), (1, 0)])
def test_transposed_conv(groups, kernel, stride, extra):
    dilation = (2, 1)
    x, weight, bias = random(6, 5, 4), random(6, 12 // groups, *kernel, seed=1), random(12, seed=2)
    padding = tuple(k // 2 for k in kernel)
    expected = F.conv_transpose2d(
        batch(x), batch(weight)[0], batch(bias)[0], stride, padding, extra, groups, dilation
    )  # fmt: skip
    result = run_op(
        "transposed_conv",
        x,
        tensors={"weight": weight, "bias": bias},
        stride=stride,
        padding=padding,
        output_padding=extra,
        dilation=dilation,
        groups=groups,
        activation="leaky_relu",
        alpha=0.2,
    )
    agrees(result, F.leaky_relu(expected, 0.2))
    assert result.macs[0] == weight.size * 5 * 4


def test_transposed_conv_by_hand():
    """One pixel of 3, a kernel of 1 2 over 3 4: each tap once."""
    result = run_op("transposed_conv", np.full((1, 1, 1), 3.0), tensors={"weight": np.array([[[[1, 2], [3, 4]]]])})
    assert result.output[0].tolist() == [[[3, 6], [9, 12]]]


def test_linear():
    x, weight, bias = random(7), random(5, 7, seed=1), random(5, seed=2)
    result = run_op("linear", x, tensors={"weight": weight, "bias": bias}, activation="tanh")
    agrees(result, torch.tanh(F.linear(batch(x), batch(weight)[0], batch(bias)[0])))
    assert result.macs[0] == 35


@pytest.mark.parametrize(
    ("kind", "groups", "shape"),
    [("conv", 1, (8, 6, 3, 3)), ("conv", 2, (8, 3, 3, 3)), ("transposed_conv", 2, (6, 4, 3, 3))],
)
def test_only_open_channels_count(kind, groups, shape):
    """Channels of both sides closed by flags of one gate, in no order: the numbers are those of weights set to zero."""
    flags = open_channels(5, 1, 3)
    reads = [("g", 0), ("g", 1), None, ("g", 3), ("g", 4), ("g", 1)]
    writes = [("g", 3), None, ("g", 3), ("g", 2), None, ("g", 1), ("g", 0), ("g", 4)]
    x, weight = random(6, 5, 5), random(*shape, seed=1)
    result = run_op(
        kind,
        x,
        tensors={"weight": weight},
        flags=flags,
        reads=reads,
        writes=writes,
        groups=groups,
        activation="sigmoid",
    )
    opened, opens = ([owner is None or flags[owner[1]] for owner in owners] for owners in (reads, writes))
    function = F.conv2d if kind == "conv" else F.conv_transpose2d
    masked = batch(x * np.array(opened)[:, None, None])
    expected = torch.sigmoid(function(masked, batch(weight)[0], groups=groups))
    agrees(result, expected * batch(np.array(opens)[:, None, None]))
    pairs = sum(
        sum(opened[g * 6 // groups : (g + 1) * 6 // groups]) * sum(opens[g * 8 // groups : (g + 1) * 8 // groups])
        for g in range(groups)
    )
    pixels = expected[0, 0].numel() if kind == "conv" else 25
    assert result.macs[0] == pairs * 9 * pixels


def test_linear_computes_open_rows_of_open_columns():
    flags = open_channels(3, 0)
    reads, writes = [("g", 0), ("g", 1), None], [("g", 0), None, ("g", 2), ("g", 0)]
    x, weight = np.array([1.0, 2.0, 4.0]), np.arange(12.0).reshape(4, 3)
    result = run_op("linear", x, tensors={"weight": weight}, flags=flags, reads=reads, writes=writes)
    assert result.output[0].tolist() == [0, 4 * 2 + 5 * 4, 7 * 2 + 8 * 4, 0]
    assert result.macs[0] == 2 * 2


def test_a_norm_is_not_counted():
    x, weight = random(3, 4, 4), np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1, 1)
    result = run_op("conv", x, tensors={"weight": weight}, groups=3, counted=False)
    np.testing.assert_allclose(result.output[0], x * weight[:, 0], rtol=1e-6)
    assert result.macs[0] == 0


@pytest.mark.parametrize("layer", [True, False])
def test_a_gated_residual_is_handed_on_where_its_conv_is_skipped(layer):
    """Channels that are closed stay zero, though sigmoid(0) is not."""
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 4, 4))
    gate, when = b.fixed([True, False, True]), b.fixed([layer])
    residual = b.op("select", [x], (3, 4, 4), gate)
    with b.under(when):
        y = b.conv(x, 3, 3, gate=gate, residual=residual, activation="sigmoid")
    image = random(3, 4, 4)
    program = b.program(x, b.op("select", [y], (3, 4, 4)))
    result = run_reference(program, b.tensors, image[None])
    weight, bias = (batch(b.tensors[f"conv5.{role}"])[0] for role in ("weight", "bias"))
    expected = batch(image) + (F.conv2d(batch(image), weight, bias, padding=1) if layer else 0)
    agrees(result, torch.sigmoid(expected) * torch.tensor([1.0, 0, 1])[:, None, None])
    assert result.macs[0] == (9 * 3 * 2 * 16 if layer else 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    x = torch.linspace(-9, 9, 101, dtype=torch.float64)
    functions = {
        "none": torch.clone,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
        "elu": lambda x: F.elu(x, 0.3),
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    }
    function = functions.get(activation) or getattr(F, activation)
    np.testing.assert_allclose(activate(x.numpy(), activation, 0.3), function(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "shape", "attributes", "message"),
    [
        ("conv", (4, 3), {}, "must be \\[out, in / groups, kh, kw\\]"),
        ("conv", (4, 2, 3, 3), {}, "x 1 groups, 3 in"),
        ("conv", (4, 1, 3, 3), {"groups": 3}, "4 output channels are no multiple of 3 groups"),
        ("conv", (4, 3, 3, 3), {"groups": 0}, "x 0 groups"),
        ("conv", (4, 3, 3, 3), {"padding": (-1, 0)}, "padding from 0"),
        ("conv", (4, 3, 3, 3), {"padding": (0, 1), "extra_padding": (0, -2)}, "padding from 0"),
        ("conv", (4, 3, 3, 3), {"padding": (2, 0), "extra_padding": (1, 0)}, "padding 3 must be less than"),
        ("conv", (4, 3, 5, 5), {"extra_padding": (0, 1)}, "the kernel's reach 5 exceeds the padded side 4"),
        ("conv", (4, 3, 3, 3), {"stride": (65_537, 1)}, "stride is 65537, at most 65536"),
        ("transposed_conv", (2, 4, 3, 3), {}, "must have a row for each of 3 channels"),
        ("transposed_conv", (3, 4, 3, 3), {"groups": 0}, "0 groups, must be 1 or more"),
        ("transposed_conv", (3, 4, 3, 3), {"groups": 2}, "x 2 groups, 3 in"),
        ("transposed_conv", (3, 4, 3, 3), {"output_padding": (1, 0)}, "output_padding 1 must be from 0, and less"),
        ("transposed_conv", (3, 4, 3, 3), {"padding": (3, 0)}, "padding 3 must be from 0, and less"),
        ("transposed_conv", (3, 4, 1, 1), {"stride": (8192, 1)}, "side of 24577, outside 1..16384"),
        ("transposed_conv", (3, 4, 3, 3), {"dilation": (0, 1)}, "stride and dilation from 1"),
        ("linear", (4, 3), {}, "for an input of shape \\(3, 4, 4\\)"),
    ],
)
def test_what_does_not_fit_is_refused(kind, shape, attributes, message):
    with pytest.raises(InputError, match=message) as refusal:
        run_op(kind, random(3, 4, 4), tensors={"weight": random(*shape)}, **attributes)
    assert "\n" not in str(refusal.value)
