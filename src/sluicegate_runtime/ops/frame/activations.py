"""Activation functions, as torch defines them; the text crosses to the engine as it is.

alpha is the slope of leaky_relu below zero, and what elu falls to.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from sluicegate_runtime.program import Attribute

from .room import Attributes, Given

Function = Callable[[np.ndarray, float], np.ndarray]

MAY_ACTIVATE: Mapping[str, Attribute] = {"activation": "none", "alpha": 0.0}
"""The attributes of an op that may end in an activation."""


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 0.5 * (1 + np.tanh(0.5 * x))  # never overflows


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)); torch's is x itself above 20, which is the same in float32."""
    return np.logaddexp(x, 0)


def _leaky_relu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * x)


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 3, 0, 6) / 6


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf, [np.float64])(x / math.sqrt(2)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: Mapping[str, Function] = {
    "none": lambda x, alpha: x,
    "relu": lambda x, alpha: np.maximum(x, 0),
    "relu6": lambda x, alpha: np.clip(x, 0, 6),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "silu": lambda x, alpha: x * sigmoid(x),
    "hardswish": lambda x, alpha: x * _hardsigmoid(x),
    "sigmoid": lambda x, alpha: sigmoid(x),
    "hardsigmoid": lambda x, alpha: _hardsigmoid(x),
    "tanh": lambda x, alpha: np.tanh(x),
    "gelu": lambda x, alpha: _gelu(x),
    "gelu_tanh": lambda x, alpha: _gelu_tanh(x),
    "mish": lambda x, alpha: x * np.tanh(softplus(x)),
    "softplus": lambda x, alpha: softplus(x),
}

ACTIVATIONS = tuple(FUNCTIONS)


def activate(x: np.ndarray, name: str, alpha: float = 0.0) -> np.ndarray:
    """An activation function, elementwise."""
    return FUNCTIONS[name](x, alpha)


def activated(x: np.ndarray, has: Attributes) -> np.ndarray:
    """`x` behind the activation in which an op ends."""
    return activate(x, has["activation"], has["alpha"])


def check_activation(given: Given, key: str = "activation") -> None:
    """InputError if the text names none of them."""
    name = given.has[key]
    given.require(name in ACTIVATIONS, f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
