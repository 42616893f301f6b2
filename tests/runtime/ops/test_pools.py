"""max_pool, avg_pool, adaptive_pool, global_pool and channel_pool against torch."""

import numpy as np
import pytest
from one_op import open_channels, random, run_op

from sluicegate_runtime import InputError

torch = pytest.importorskip("torch")
F = torch.nn.functional


def batch(array: np.ndarray):
    return torch.from_numpy(array)[None]


def agrees(result, expected) -> None:
    np.testing.assert_allclose(result.output[0], expected[0].numpy(), rtol=1e-6, atol=1e-6)
    assert result.macs[0] == 0


WINDOWS = [
    (kernel, stride, padding)
    for kernel in ((2, 2), (3, 3), (3, 2))
    for stride in ((2, 2), (3, 1), (4, 5))
    for padding in ((0, 0), (1, 1))
]


@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("counted", [False, True])
def test_avg_pool(kernel, stride, padding, ceil, counted):
    x = random(3, 8, 11)
    expected = F.avg_pool2d(batch(x), kernel, stride, padding, ceil, counted)
    window = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil}
    agrees(run_op("avg_pool", x, **window, count_padding=counted), expected)


@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_max_pool(kernel, stride, padding, ceil, dilation):
    x = random(3, 8, 11)
    expected = F.max_pool2d(batch(x), kernel, stride, padding, dilation, ceil)
    window = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil": ceil}
    agrees(run_op("max_pool", x, **window), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (8, 11), (10, 2), (13, 25)])
def test_adaptive_pool(size):
    x = random(3, 8, 11)
    agrees(run_op("adaptive_pool", x, size=size), F.adaptive_avg_pool2d(batch(x), size))
    agrees(run_op("adaptive_pool", x, size=size, maximum=True), F.adaptive_max_pool2d(batch(x), size))


def test_global_pool():
    x = random(3, 8, 11)
    agrees(run_op("global_pool", x), batch(x).mean((2, 3)))
    agrees(run_op("global_pool", x, function="abs"), batch(x).abs().mean((2, 3)))
    agrees(run_op("global_pool", x, function="max"), batch(x).amax((2, 3)))


def test_what_a_head_pools_is_counted():
    reads = [("g", 0), None, ("g", 1)]
    result = run_op("global_pool", np.ones((3, 4, 5)), flags=[False, True], reads=reads, writes=reads, counted=True)
    assert result.output[0].tolist() == [0, 1, 1]
    assert result.macs[0] == 2 * 20


def test_channel_pool():
    x = random(3, 8, 11)
    agrees(run_op("channel_pool", x), batch(x).mean(1, keepdim=True))
    agrees(run_op("channel_pool", x, function="max"), batch(x).amax(1, keepdim=True))
    agrees(run_op("channel_pool", x, function="sum"), batch(x).sum(1, keepdim=True))


@pytest.mark.parametrize(("function", "wanted"), [("mean", -1.0), ("sum", -3.0), ("max", 0.0)])
def test_closed_channels_count_as_zeros(function, wanted):
    """The largest of -1, -2 and a channel that is closed is 0."""
    x = np.array([-1.0, -7.0, -2.0]).reshape(3, 1, 1)
    flags = open_channels(3, 1)
    result = run_op("channel_pool", x, flags=flags, reads=[("g", i) for i in range(3)], function=function)
    assert result.output.ravel().tolist() == [wanted]


@pytest.mark.parametrize("kind", ["max_pool", "avg_pool", "adaptive_pool"])
def test_closed_channels_stay_closed(kind):
    reads = [("g", 0), ("g", 1), None]
    result = run_op(kind, np.ones((3, 4, 4)), flags=[False, True], reads=reads, writes=reads)
    assert [bool(channel.any()) for channel in result.output[0]] == [False, True, True]
    with pytest.raises(InputError, match="channel 0 of its output is always open, must be closed by flag 0 of 'v2'"):
        run_op(kind, np.ones((3, 4, 4)), flags=[False, True], reads=reads, writes=[None, ("g", 1), None])


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("max_pool", {"padding": (2, 0)}, "padding is at most half the kernel"),
        ("max_pool", {"kernel": (0, 2)}, "kernel and stride from 1"),
        ("max_pool", {"kernel": (20_000, 1)}, "kernel reaches over 20000 pixels, at most 16384"),
        ("max_pool", {"kernel": (9, 1)}, "exceeds the padded side 4"),
        ("max_pool", {"kernel": (2, 1), "dilation": (6, 1), "padding": (3, 0)}, "sees padding alone"),
        ("avg_pool", {"stride": (1, 65_537)}, "stride is 65537, at most 65536"),
        ("avg_pool", {"padding": (-1, 0)}, "padding from 0"),
        ("adaptive_pool", {"size": (0, 1)}, "size \\(0, 1\\) is outside 1..16384"),
        ("global_pool", {"function": "median"}, "unknown function 'median'; known: mean, abs, max"),
        ("channel_pool", {"function": "abs"}, "unknown function 'abs'; known: mean, max, sum"),
    ],
)
def test_what_does_not_fit_is_refused(kind, attributes, message):
    with pytest.raises(InputError, match=message):
        run_op(kind, random(2, 4, 4), **attributes)


def test_pools_want_planes():
    for kind in ("max_pool", "avg_pool", "adaptive_pool", "global_pool", "channel_pool"):
        with pytest.raises(InputError, match="must be \\(C, H, W\\)"):
            run_op(kind, random(4))
