"""crop, pad, resize, subsample, pixel_shuffle and pixel_unshuffle: what moves pixels."""

import numpy as np
import pytest
from one_op import random, run_op

from sluicegate_runtime import InputError

torch = pytest.importorskip("torch")
F = torch.nn.functional


def batch(array: np.ndarray):
    return torch.from_numpy(array)[None]


def test_crop():
    x = random(3, 7, 9)
    result = run_op("crop", x, top=1, left=2, stride=(2, 3), size=(3, 2))
    assert np.array_equal(result.output[0], x[:, 1:6:2, 2:6:3])


@pytest.mark.parametrize(
    "attributes",
    [
        {"size": (8, 1)},
        {"top": 7},
        {"left": -1},
        {"size": (0, 1)},
        {"size": (4, 1), "stride": (3, 1)},
        {"stride": (0, 1)},
    ],
)
def test_a_crop_lies_within(attributes):
    with pytest.raises(InputError, match=r"leave a side of|stride 0 is outside"):
        run_op("crop", random(3, 7, 9), **attributes)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("edges", [(0, 0, 0, 0), (1, 2, 3, 0), (4, 4, 4, 4)])
def test_pad(mode, edges):
    x = random(3, 5, 6)
    expected = F.pad(batch(x), edges, mode, **({"value": 0.5} if mode == "constant" else {}))
    sides = dict(zip(("left", "right", "top", "bottom"), edges, strict=True))
    assert np.array_equal(run_op("pad", x, mode=mode, fill=0.5, **sides).output[0], expected[0].numpy())


def test_what_is_put_around_closed_channels_is_zero():
    reads = [("g", 0), ("g", 1)]
    result = run_op("pad", np.ones((2, 1, 1)), flags=[False, True], reads=reads, writes=reads, left=1, fill=5.0)
    assert result.output[0].tolist() == [[[0, 0]], [[5, 1]]]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"left": -1}, "must be from 0"),
        ({"left": 6, "mode": "reflect"}, "must be less than the side of 6"),
        ({"top": 6, "mode": "circular"}, "must be at most the side of 5"),
        ({"mode": "mirror"}, "unknown mode 'mirror'; known: constant, reflect, replicate, circular"),
        ({"right": 20_000}, "side of 20006, at most 16384"),
    ],
)
def test_edges_that_cannot_be_made_are_refused(attributes, message):
    with pytest.raises(InputError, match=message):
        run_op("pad", random(3, 5, 6), **attributes)


SIZES = [(1, 1), (4, 15), (7, 8), (13, 3), (14, 16), (50, 23)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align", [False, True])
def test_bilinear(size, align):
    x = random(3, 7, 8)
    expected = F.interpolate(batch(x), size, mode="bilinear", align_corners=align)[0].numpy()
    np.testing.assert_allclose(run_op("resize", x, size=size, align_corners=align).output[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_nearest(size):
    x = random(3, 7, 8)
    expected = F.interpolate(batch(x), size)[0].numpy()
    assert np.array_equal(run_op("resize", x, size=size, mode="nearest").output[0], expected)


def test_nearest_reckons_as_torch_does_for_every_pair_of_sides():
    """In float64 another pixel would be taken now and then."""
    for side in range(1, 41):
        x = np.arange(side, dtype=np.float32)[None, None]
        for size in range(1, 61, 7):
            expected = F.interpolate(batch(x), (1, size))[0].numpy()
            assert np.array_equal(run_op("resize", x, size=(1, size), mode="nearest").output[0], expected), (side, size)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"size": (0, 3)}, "is outside 1..16384"),
        ({"mode": "cubic"}, "unknown mode 'cubic'; known: nearest, bilinear"),
        ({"mode": "nearest", "align_corners": True}, "only a bilinear resize can align corners"),
    ],
)
def test_a_resize_that_is_not_known_is_refused(attributes, message):
    with pytest.raises(InputError, match=message):
        run_op("resize", random(3, 5, 6), **attributes)


def test_subsample():
    x = random(3, 7, 8)
    expected = F.pad(batch(x)[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))[0].numpy()
    assert np.array_equal(run_op("subsample", x, before=1, after=2).output[0], expected)
    with pytest.raises(InputError, match=r"stride 65537 is outside 1\.\.65536"):
        run_op("subsample", x, stride=65_537)
    with pytest.raises(InputError, match="added channels from 0"):
        run_op("subsample", x, before=-1)
    with pytest.raises(InputError, match="must not be gated"):
        run_op("subsample", x, flags=[True], reads=[("g", 0), None, None])


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixels_become_channels_and_channels_pixels(factor):
    x, y = random(18, 2, 3) if factor == 3 else random(8, 2, 3), random(2, 6, 12)
    assert np.array_equal(run_op("pixel_shuffle", x, factor=factor).output[0], F.pixel_shuffle(batch(x), factor)[0])
    assert np.array_equal(run_op("pixel_unshuffle", y, factor=factor).output[0], F.pixel_unshuffle(batch(y), factor)[0])


def test_flags_go_with_the_pixels():
    wide, narrow = [("g", i // 4) for i in range(8)], [("g", 0), ("g", 1)]
    x = np.arange(1.0, 9).reshape(8, 1, 1)
    result = run_op("pixel_shuffle", x, flags=[False, True], reads=wide, writes=narrow, factor=2)
    assert result.output[0].tolist() == [[[0, 0], [0, 0]], [[5, 6], [7, 8]]]
    result = run_op("pixel_unshuffle", result.output[0], flags=[True, False], reads=narrow, writes=wide, factor=2)
    assert not result.output.any()
    with pytest.raises(InputError, match="channels that become one must share a flag"):
        run_op("pixel_shuffle", x, flags=[False, True], reads=[("g", i % 2) for i in range(8)], factor=2)
    with pytest.raises(InputError, match="channel 1 of its output"):
        writes = [("g", i % 2) for i in range(8)]
        run_op("pixel_unshuffle", np.ones((2, 2, 2)), flags=[True, False], reads=narrow, writes=writes, factor=2)


@pytest.mark.parametrize("factor", [0, 3, 20_000])
def test_a_factor_divides(factor):
    for kind in ("pixel_shuffle", "pixel_unshuffle"):
        with pytest.raises(InputError, match=r"no multiples? of|outside 1..16384"):
            run_op(kind, random(8, 2, 4), factor=factor)
