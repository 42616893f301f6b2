"""The reference against PyTorch, op by op, and its count of multiply-adds against really sliced layers."""

import numpy as np
import pytest
from conformance.generate import ACTIVATIONS, Builder, exit_early

from sluicegate_runtime import InputError, run_reference
from sluicegate_runtime.reference import activate, logit_of

torch = pytest.importorskip("torch")
F = torch.nn.functional


def run(b: Builder, x: str, y: str, image: np.ndarray):
    return run_reference(b.program(x, y), b.tensors, image[None])


def build(shape, seed=0) -> tuple[Builder, str, np.ndarray]:
    b = Builder(np.random.default_rng(seed))
    return b, b.value(shape), b.rng.normal(size=shape).astype(np.float32)


def agrees(result, expected) -> None:
    np.testing.assert_allclose(result.output[0], expected.float().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    x = np.linspace(-9, 9, 101)
    functions = {"none": torch.clone, "sigmoid": torch.sigmoid}
    function = functions.get(activation) or getattr(F, activation)
    np.testing.assert_allclose(activate(x, activation), function(torch.from_numpy(x)), rtol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_conv(groups, kernel, stride, dilation):
    b, x, image = build((6, 9, 11))
    padding = tuple(k // 2 for k in kernel)
    y = b.conv(x, 12, kernel, stride, padding, dilation, groups, activation="relu")
    weight, bias = (torch.from_numpy(b.tensors[f"conv0.{role}"]) for role in ("weight", "bias"))
    expected = F.conv2d(torch.from_numpy(image)[None], weight, bias, stride, padding, dilation, groups)
    result = run(b, x, y, image)
    agrees(result, F.relu(expected)[0])
    assert result.macs[0] == weight.numel() * expected[0, 0].numel()


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3)])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
def test_pools(kernel, stride, padding):
    for ceil in (False, True):
        b, x, image = build((3, 8, 10))
        expected = F.max_pool2d(torch.from_numpy(image)[None], kernel, stride, padding, ceil_mode=ceil)[0]
        y = b.op("max_pool", [x], expected.shape, kernel=kernel, stride=stride, padding=padding, ceil=ceil)
        agrees(run(b, x, y, image), expected)
    for count in (False, True):
        b, x, image = build((3, 8, 10))
        expected = F.avg_pool2d(torch.from_numpy(image)[None], kernel, stride, padding, count_include_pad=count)[0]
        y = b.op(
            "avg_pool",
            [x],
            expected.shape,
            kernel=kernel,
            stride=stride,
            padding=padding,
            count_padding=count,
        )
        agrees(run(b, x, y, image), expected)


@pytest.mark.parametrize("size", [(1, 1), (4, 15), (7, 8), (13, 3)])
@pytest.mark.parametrize("align", [False, True])
def test_resize(size, align):
    b, x, image = build((3, 7, 8))
    y = b.op("resize", [x], (3, *size), size=size, align_corners=align)
    expected = F.interpolate(torch.from_numpy(image)[None], size, mode="bilinear", align_corners=align)[0]
    agrees(run(b, x, y, image), expected)


def test_subsample_flatten_linear():
    b, x, image = build((3, 7, 8))
    y = b.op("subsample", [x], (6, 4, 4), stride=2, before=1, after=2)
    y = b.linear(b.op("flatten", [y], (96,)), 5)
    kept = F.pad(torch.from_numpy(image)[:, ::2, ::2], (0, 0, 0, 0, 1, 2)).flatten()
    weight, bias = (torch.from_numpy(b.tensors[f"linear2.{role}"]) for role in ("weight", "bias"))
    agrees(run(b, x, y, image), F.linear(kept, weight, bias))


def test_two_steps_of_an_lstm():
    b, x, image = build((3, 4, 5))
    states = [b.lstm(b.pooled(x), 7)]
    states.append(b.lstm(b.pooled(x), 7, states[0]))
    result = run(b, x, b.op("slice", [states[1]], (7,), size=7), image)
    first, second = (op.name for op in b.ops if op.kind == "lstm")
    tensors = {name: torch.from_numpy(tensor) for name, tensor in b.tensors.items()}
    features, zeros = torch.from_numpy(image).mean((1, 2))[None], torch.zeros(4 * 7, 7)
    both = {first: torch.cat([tensors[f"{first}.weight"], zeros], 1), second: tensors[f"{second}.weight"]}
    state = torch.zeros(1, 7), torch.zeros(1, 7)
    for name, weight in both.items():
        cell = torch.nn.LSTMCell(3, 7)
        parts = (*weight.split([3, 7], dim=1), tensors[f"{name}.bias"], torch.zeros(28))
        cell.load_state_dict(dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parts, strict=True)))
        state = cell(features, state)
    agrees(result, state[0][0].detach())
    assert result.macs[0] == 2 * 3 * 20 + 28 * 3 + 28 * (3 + 7)


@pytest.mark.parametrize("granularity", [1, 2, 4])
def test_closed_channels_are_zero_and_not_counted(granularity):
    """The masked network equals the one whose closed channels are cut out; its multiply-adds are that
    one's."""
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


@pytest.mark.parametrize("pattern", ["open", "closed"])
def test_a_closed_layer_gate_leaves_the_residual(pattern):
    b, x, image = build((4, 6, 6))
    b.when = b.gate(x, 1, pattern)
    gate = b.gate(x, 4, "open")
    y = b.conv(b.conv(x, 8, 3, gate=gate), 4, 3, residual=x, activation="relu")
    b.when = None
    result = run(b, x, y, image)
    head = 4 * 36 + 4 * 16 + 16
    if pattern == "closed":
        agrees(result, F.relu(torch.from_numpy(image)))
        assert result.macs[0] == head
        assert result.open_rate[gate][0] == 0
    else:
        assert result.macs[0] == head + 4 * 36 + 4 * 16 + 16 * 4 + 36 * 9 * (4 * 8 + 8 * 4)
        assert result.open_rate[gate][0] == 1


def test_an_exit_ends_a_sample():
    b, x, image = build((4, 6, 6))
    exit_early(b, x, 3)
    y = b.linear(b.pooled(b.conv(x, 8)), 3)
    opening = next(op for op in b.ops if op.kind == "linear" and b.shape(str(op.output)) == (1,))
    b.tensors[opening.tensors["bias"]][:] = 1e4
    exits = run(b, x, y, image)
    assert exits.exits[0] == 0
    assert exits.macs[0] == 2 * 4 * 36 + 4 * 3 + 4 * 16 + 16
    goes_on = run_reference(b.program(x, y), b.tensors, image[None], threshold=1.0)
    assert goes_on.exits[0] == -1
    assert goes_on.macs[0] == exits.macs[0] + 36 * 9 * 4 * 8 + 8 * 36 + 8 * 3


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
