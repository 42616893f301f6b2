"""concat, slice, shuffle, index_select and reshape: what moves channels, and their flags with them."""

from typing import Any

import numpy as np
import pytest
from one_op import random, run_op

from sluicegate_runtime import InputError

torch = pytest.importorskip("torch")

FLAGS = [True, False, True]


def alternating(count: int) -> list:
    """Channels closed by flag 0, 1, 2, 0, ... of the gate."""
    return [("g", i % 3) for i in range(count)]


def test_concat():
    parts = [random(2, 3, 4, seed=i) for i in range(3)]
    assert np.array_equal(run_op("concat", *parts).output[0], np.concatenate(parts))
    vectors = [random(2), random(5)]
    assert np.array_equal(run_op("concat", *vectors).output[0], np.concatenate(vectors))


def test_a_concatenation_keeps_flags_or_opens_channels():
    parts = [np.ones((3, 1, 1)), 2 * np.ones((2, 1, 1))]
    reads = [alternating(3), [None, ("g", 1)]]
    for writes in (None, [*alternating(3), None, ("g", 1)], [None, ("g", 1), None, None, None]):
        result = run_op("concat", *parts, flags=FLAGS, reads=reads, writes=writes)
        assert result.output[0].ravel().tolist() == [1, 0, 1, 2, 0]
    with pytest.raises(InputError, match="channel 3 of its output is closed by flag 1 of 'v2', must be always open"):
        run_op("concat", *parts, flags=FLAGS, reads=reads, writes=[*alternating(3), ("g", 1), ("g", 1)])


def test_planes_of_different_sizes_are_not_joined():
    with pytest.raises(InputError, match="joins planes of different sizes"):
        run_op("concat", random(2, 3, 4), random(2, 4, 3))
    with pytest.raises(InputError, match="joins planes of different sizes"):
        run_op("concat", random(2, 3, 4), random(2))


def test_slice():
    x = random(7, 2, 3)
    assert np.array_equal(run_op("slice", x, start=2, size=4).output[0], x[2:6])
    result = run_op(
        "slice", np.arange(1.0, 8), flags=FLAGS, reads=alternating(7), writes=alternating(7)[2:6], start=2, size=4
    )
    assert result.output[0].tolist() == [3, 4, 0, 6]
    with pytest.raises(
        InputError, match="channel 0 of its output is closed by flag 0 of 'v2', must be closed by flag 2"
    ):
        run_op("slice", x, flags=FLAGS, reads=alternating(7), writes=alternating(4), start=2, size=4)


@pytest.mark.parametrize(
    ("start", "size", "message"), [(7, 1, "start 7"), (-1, 1, "start -1"), (3, 5, "size 5"), (0, 0, "size 0")]
)
def test_a_slice_lies_within(start, size, message):
    with pytest.raises(InputError, match=f"{message} is outside"):
        run_op("slice", random(7), start=start, size=size)


@pytest.mark.parametrize("groups", [1, 2, 3, 6, 12])
def test_shuffle(groups):
    x = random(12, 2, 3)
    expected = torch.nn.functional.channel_shuffle(torch.from_numpy(x)[None], groups)[0].numpy()
    assert np.array_equal(run_op("shuffle", x, groups=groups).output[0], expected)


def test_flags_are_shuffled_with_their_channels():
    """Of two groups 0 1 2 | 3 4 5 there come 0 3 1 4 2 5."""
    reads = [("g", 0), ("g", 1), ("g", 2), None, None, None]
    writes = [("g", 0), None, ("g", 1), None, ("g", 2), None]
    result = run_op("shuffle", np.arange(1.0, 7), flags=FLAGS, reads=reads, writes=writes, groups=2)
    assert result.output[0].tolist() == [1, 4, 0, 5, 3, 6]
    with pytest.raises(InputError, match="channel 1 of its output"):
        run_op("shuffle", np.arange(1.0, 7), flags=FLAGS, reads=reads, writes=reads, groups=2)
    with pytest.raises(InputError, match="6 channels are no multiple of 4 groups"):
        run_op("shuffle", random(6), groups=4)


@pytest.mark.parametrize("index", [[2, 0, -1, 2], list(range(20)), [19, -1], [-1], [*range(19, -1, -1), *range(20)]])
def test_index_select(index):
    x = random(20, 2, 3)
    expected = np.concatenate([x, np.zeros((1, 2, 3))])[index]
    assert np.array_equal(run_op("index_select", x, tensors={"weight": np.array(index)}).output[0], expected)


def test_flags_are_picked_with_their_channels():
    tensors = {"weight": np.array([5, -1, 1, 0])}
    options: dict[str, Any] = {"flags": FLAGS, "reads": alternating(6), "tensors": tensors}
    writes = [("g", 2), None, ("g", 1), ("g", 0)]
    assert run_op("index_select", np.arange(1.0, 7), writes=writes, **options).output[0].tolist() == [6, 0, 0, 1]
    with pytest.raises(InputError, match="channel 0 of its output"):
        run_op("index_select", np.arange(1.0, 7), writes=alternating(4), **options)


@pytest.mark.parametrize("index", [[6], [-2], [0.5], [np.nan]])
def test_what_is_picked_is_a_channel(index):
    with pytest.raises(InputError, match=r"index .* is none of -1 to 5|finite"):
        run_op("index_select", random(6), tensors={"weight": np.array(index)})


@pytest.mark.parametrize("shape", [(24,), (2, 3, 4), (4, 1, 6), (24, 1, 1), (1, 4, 6)])
def test_reshape(shape):
    x = random(4, 2, 3)
    assert np.array_equal(run_reshape(x, shape).output[0], x.reshape(shape))


def run_reshape(x: np.ndarray, shape: tuple[int, ...], **options):
    attributes: dict[str, Any] = {**options, "shape": shape}
    return run_op("reshape", x, **attributes)


def test_a_gated_plane_is_flattened_with_its_flags():
    x = np.arange(1.0, 7).reshape(3, 1, 2)
    writes = [("g", i // 2) for i in range(6)]
    result = run_reshape(x, (6,), flags=FLAGS, reads=alternating(3), writes=writes)
    assert result.output[0].tolist() == [1, 2, 0, 0, 5, 6]
    result = run_reshape(x, (3, 2, 1), flags=FLAGS, reads=alternating(3), writes=alternating(3))
    assert result.output[0].ravel().tolist() == [1, 2, 0, 0, 5, 6]
    with pytest.raises(InputError, match="channel 1 of its output"):
        run_reshape(x, (6,), flags=FLAGS, reads=alternating(3), writes=[("g", i % 3) for i in range(6)])
    with pytest.raises(InputError, match="must not be gated"):
        run_reshape(x, (2, 1, 3), flags=FLAGS, reads=alternating(3))
    with pytest.raises(InputError, match="always open, must be closed by flag 0"):
        run_reshape(x, (6,), flags=FLAGS, reads=alternating(3))


@pytest.mark.parametrize("shape", [(), (4, 6), (23,), (0, 2, 3), (-4, -6, 1), (4, 2, 3, 1)])
def test_shapes_that_do_not_hold_the_elements_are_refused(shape):
    with pytest.raises(InputError, match=r"shape .* (must be|has not the 24 elements)"):
        run_reshape(random(4, 2, 3), shape)
