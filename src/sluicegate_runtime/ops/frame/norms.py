"""What norms over the sample at hand have in common."""

import numpy as np

from .room import Call, Given, Shape, column


def check_norm(given: Given) -> Shape:
    """The shape, kept. InputError unless weight and bias, where there are any, have one number a channel."""
    shape, eps = given.inputs[0].shape, given.has["eps"]
    given.require(eps >= 0, f"eps {eps} must be from 0")
    for role in ("weight", "bias"):
        given.optional(role, shape[:1])
    return shape


def scaled(call: Call, normed: np.ndarray) -> np.ndarray:
    """Times weight, plus bias."""
    weight = call.tensors.get("weight", np.ones(len(normed)))
    return normed * column(weight, normed) + column(call.bias(len(normed)), normed)
