"""layer_norm, rms_norm, group_norm, response_norm and softmax against torch."""

from typing import Any

import numpy as np
import pytest
from one_op import random, run_op

from sluicegate_runtime import InputError

torch = pytest.importorskip("torch")
F = torch.nn.functional


DEFAULTS = (("weight", 1.0), ("bias", 0.0))


def agrees(result, expected) -> None:
    np.testing.assert_allclose(result.output[0], expected.numpy(), rtol=1e-5, atol=1e-5)
    assert result.macs[0] == 0


@pytest.mark.parametrize("roles", [(), ("weight",), ("weight", "bias")])
@pytest.mark.parametrize("shape", [(6, 3, 4), (6,)])
def test_layer_norm(roles, shape):
    x, tensors = random(*shape), {role: random(6, seed=i) for i, role in enumerate(roles, start=1)}
    last = torch.from_numpy(x).movedim(0, -1)
    expected = F.layer_norm(last, (6,), *(torch.from_numpy(tensors[role]) for role in roles), eps=1e-3)
    agrees(run_op("layer_norm", x, tensors=tensors, eps=1e-3), expected.movedim(-1, 0))


@pytest.mark.parametrize("roles", [(), ("weight",)])
@pytest.mark.parametrize("shape", [(6, 3, 4), (21,), (16, 1, 2)])
def test_rms_norm(roles, shape):
    x, tensors = random(*shape), {role: random(shape[0], seed=1) for role in roles}
    last = torch.from_numpy(x).movedim(0, -1)
    expected = F.rms_norm(last, shape[:1], *(torch.from_numpy(tensors[role]) for role in roles), eps=1e-3)
    agrees(run_op("rms_norm", x, tensors=tensors, eps=1e-3), expected.movedim(-1, 0))


@pytest.mark.parametrize(
    ("groups", "shape"), [*((groups, (6, 3, 4)) for groups in (1, 2, 3, 6)), *((groups, (6,)) for groups in (1, 2, 3))]
)
def test_group_norm(groups, shape):
    x, weight, bias = random(*shape), random(6, seed=1), random(6, seed=2)
    numbers = (torch.from_numpy(array) for array in (weight, bias))
    expected = F.group_norm(torch.from_numpy(x)[None].reshape(1, 6, -1), groups, *numbers, eps=1e-3)
    agrees(
        run_op("group_norm", x, tensors={"weight": weight, "bias": bias}, groups=groups, eps=1e-3),
        expected.reshape(shape),
    )


def test_whole_groups_are_closed():
    """A norm would give zeros its bias; a closed channel stays zero."""
    x, halves = random(4, 2, 2), [("g", i // 2) for i in range(4)]
    result = run_op(
        "group_norm", x, tensors={"bias": np.ones(4)}, flags=[False, True], reads=halves, writes=halves, groups=2
    )
    alone = run_op("group_norm", x[2:], tensors={"bias": np.ones(2)}, groups=1)
    assert not result.output[0, :2].any()
    np.testing.assert_allclose(result.output[0, 2:], alone.output[0], rtol=1e-6)
    with pytest.raises(InputError, match="the channels of a group must share a flag"):
        run_op("group_norm", x, flags=[False, True], reads=halves, writes=halves, groups=1)


@pytest.mark.parametrize("roles", [(), ("weight",), ("weight", "bias")])
@pytest.mark.parametrize("channels", [3, 6, 21])
def test_response_norm(roles, channels):
    x = random(channels, 3, 4)
    tensors = {role: random(channels, seed=i) for i, role in enumerate(roles, start=1)}
    numbers = torch.from_numpy(x)
    lengths = numbers.norm(dim=(1, 2), keepdim=True)
    weight, bias = (torch.from_numpy(tensors[r]) if r in roles else torch.full((channels,), d) for r, d in DEFAULTS)
    expected = numbers * lengths / (lengths.mean() + 1e-3) * weight[:, None, None] + bias[:, None, None] + numbers
    agrees(run_op("response_norm", x, tensors=tensors, eps=1e-3), expected)


@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm", "response_norm", "softmax"])
def test_what_looks_at_all_channels_reads_no_gated_ones(kind):
    halves = [("g", i // 2) for i in range(4)]
    sizes: dict[str, Any] = {"size": 4} if kind == "softmax" else {}
    with pytest.raises(InputError, match="must not be gated"):
        run_op(kind, random(4, 2, 2), flags=[False, True], reads=halves, **sizes)
    with pytest.raises(InputError, match=r"channel 0 of its output is closed by flag 0 of .* must be always open"):
        run_op(kind, random(4, 2, 2), flags=[False, True], writes=halves, **sizes)


@pytest.mark.parametrize(("outer", "size", "inner"), [(1, 12, 1), (3, 4, 1), (1, 2, 6), (2, 3, 2)])
@pytest.mark.parametrize("sides", [(2, 3), ()])
def test_softmax(outer, size, inner, sides):
    x = 50 * random(12, *sides)
    parts = torch.from_numpy(x).reshape(outer, size, inner, *sides)
    agrees(run_op("softmax", x, outer=outer, size=size, inner=inner), parts.softmax(1).reshape(x.shape))


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("softmax", {"size": 5}, "outer x size x inner = 1 x 5 x 1 is not 4 channels"),
        ("softmax", {"size": -2, "outer": -2}, "is not 4 channels"),
        ("group_norm", {"groups": 3}, "4 channels are no multiple of 3 groups"),
        ("group_norm", {"eps": -1.0}, "eps -1.0 must be from 0"),
        ("rms_norm", {"eps": -1.0}, "eps -1.0 must be from 0"),
    ],
)
def test_what_does_not_fit_is_refused(kind, attributes, message):
    with pytest.raises(InputError, match=message):
        run_op(kind, random(4, 2, 2), **attributes)
    with pytest.raises(InputError, match="weight has shape \\(3,\\), must be \\(4,\\)"):
        run_op("layer_norm", random(4, 2, 2), tensors={"weight": np.ones(3)})
