"""add, multiply, affine, activation, prelu, select, constant."""

import numpy as np
import pytest
from conformance.builder import Builder
from one_op import random, run_op

from sluicegate_runtime import InputError, run_reference
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS, activate

MAP = [("g", 0), None, ("g", 1)]


def test_add_by_hand():
    values = [np.array([1.0, -5.0]), np.array([2.0, 3.0]), np.array([4.0, 0.5])]
    assert run_op("add", *values).output[0].tolist() == [7, -1.5]
    assert run_op("add", *values, activation="leaky_relu", alpha=0.5).output[0].tolist() == [7, -0.75]


def test_an_open_channel_sums_the_inputs_in_which_it_is_open():
    ones = np.ones((3, 2, 2))
    maps = [MAP, [None, ("g", 0), ("g", 1)]]
    result = run_op("add", ones, 10 * ones, flags=[False, True], reads=maps)
    assert result.output[0, :, 0, 0].tolist() == [10, 1, 11]
    result = run_op("add", ones, 10 * ones, flags=[False, True], reads=maps, writes=[None, ("g", 0), ("g", 1)])
    assert result.output[0, :, 0, 0].tolist() == [10, 0, 11]


def test_values_of_different_shapes_are_not_added():
    with pytest.raises(InputError, match="adds values of different shapes"):
        run_op("add", random(3), random(4))
    with pytest.raises(InputError, match="add reads at least 2 values, not 1"):
        run_op("add", random(3))


@pytest.mark.parametrize(
    "factors",
    [random(6, 2, 3, seed=1), random(6, seed=1), random(3, seed=1), random(1, seed=1), random(1, 2, 3, seed=1)],
    ids=lambda factors: str(factors.shape),
)
def test_multiply(factors):
    """One factor for each element, channel, pair of channels, all of them, or pixel."""
    x = random(6, 2, 3)
    per_channel = np.repeat(factors, 6 // len(factors), axis=0)
    wanted = x * (per_channel if factors.ndim == 3 else per_channel[:, None, None])
    np.testing.assert_allclose(run_op("multiply", x, factors).output[0], wanted, rtol=1e-6)


def test_vectors_are_multiplied():
    assert run_op("multiply", np.array([1.0, 2, 3, 4]), np.array([10.0, 100])).output[0].tolist() == [10, 20, 300, 400]


def test_gated_channels_are_multiplied_by_factors_gated_alike():
    x, factors = np.ones((3, 2, 2)), np.array([2.0, 3.0, 4.0])
    for reads in (MAP, [MAP, MAP]):
        result = run_op("multiply", x, factors, flags=[False, True], reads=reads, writes=MAP)
        assert result.output[0, :, 0, 0].tolist() == [0, 3, 4]
    with pytest.raises(InputError, match=r"factors .* must not be gated, or as .* is"):
        run_op("multiply", x, factors, flags=[False, True], reads=[MAP, [None, None, ("g", 1)]], writes=MAP)
    with pytest.raises(InputError, match="must not be gated"):
        run_op("multiply", np.ones(4), np.ones(2), flags=[True], reads=[None, [None, ("g", 0)]])


@pytest.mark.parametrize("shape", [(4,), (7,), (1, 2, 2), (6, 2, 2), (2, 3, 3)])
def test_factors_that_do_not_fit_are_refused(shape):
    with pytest.raises(InputError, match="fit neither the channels nor the pixels"):
        run_op("multiply", random(6, 3, 3), random(*shape))


def test_affine():
    result = run_op("affine", np.ones((3, 1, 1)), flags=[False, True], reads=MAP, writes=MAP, scale=2.0, shift=0.5)
    assert result.output[0, :, 0, 0].tolist() == [0, 2.5, 2.5]  # what is closed stays zero


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation(function):
    x = random(3, 2, 2)
    result = run_op("activation", x, flags=[False, True], reads=MAP, writes=MAP, function=function, alpha=0.25)
    wanted = activate(x.astype(float), function, 0.25)
    wanted[0] = 0
    np.testing.assert_allclose(result.output[0], wanted, rtol=1e-6)


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match="unknown activation 'swoosh'; known: none, relu, relu6, leaky_relu"):
        run_op("activation", random(3), function="swoosh")


def test_prelu():
    x = np.array([-1.0, -2.0, 3.0])
    assert run_op("prelu", x, tensors={"weight": np.array([0.5, 0.25, 9.0])}).output[0].tolist() == [-0.5, -0.5, 3]
    assert run_op("prelu", x, tensors={"weight": np.array([2.0])}).output[0].tolist() == [-2, -4, 3]
    with pytest.raises(InputError, match="weight \\(2,\\) must be \\(1,\\) or \\(3,\\)"):
        run_op("prelu", x, tensors={"weight": np.ones(2)})


def test_select_copies_what_is_open_on_both_sides():
    other = [None, ("g", 0), ("g", 1)]
    result = run_op("select", np.array([1.0, 2.0, 4.0]), flags=[False, True], reads=MAP, writes=other)
    assert result.output[0].tolist() == [0, 0, 4]
    result = run_op("select", np.array([1.0, 2.0, 4.0]), flags=[False, True], reads=MAP)
    assert result.output[0].tolist() == [0, 2, 4]


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_constant(shape):
    b = Builder(np.random.default_rng(0))
    x, numbers = b.value((1, 1, 1)), random(*shape)
    result = run_reference(b.program(x, b.stored(numbers)), b.tensors, np.zeros((2, 1, 1, 1), np.float32))
    assert np.array_equal(result.output, [numbers, numbers])


def test_a_constant_is_a_vector_or_a_plane():
    with pytest.raises(InputError, match="bias has shape \\(2, 2\\), must be"):
        Builder(np.random.default_rng(0)).make("constant", [], None, {"bias": np.ones((2, 2))})
