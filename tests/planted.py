"""A small classifier whose gates, mistakes and costs are planted, and images of which all of it is known.

An image has 5 channels: channel k is bright where its class is k (of 4), the last where a coin fell on heads.
The gates:

    0  always on                     3, 4  for the classes 2 and 3: they always agree
    1  always off                    5     for heads
    2  for class 1 only

Class 0 with heads is taken for class 3.
"""

import numpy as np
from conformance.builder import Builder

from sluicegate.analysis.source import ArraySource
from sluicegate_runtime import Artifact

CLASSES = ("owl", "cat", "dog", "fox")
SITE = "v3"  # the builder's name of the gate
SIDE = 6


def network() -> Artifact:
    """The classifier: 6 gated channels between two 1x1 convolutions."""
    b = Builder(np.random.default_rng(0))
    x = b.value((5, SIDE, SIDE))
    pooled = b.pooled(x)
    gate = b.op("gate", [_linear(b, pooled, _GATE_WEIGHTS, [9, -9, -2, -2, -3, -2])], (6,))
    assert gate == SITE
    y = b.conv(b.conv(x, 6, 1, gate=gate), 4, 1)
    heads = _linear(b, pooled, [[1, 0, 0, 0, 1]], [-1.5], "relu")
    direct = _linear(b, pooled, 4 * np.eye(4, 5), np.zeros(4))
    mistaken = _linear(b, heads, [[0], [0], [0], [20]], np.zeros(4))
    nothing = _linear(b, b.pooled(y), np.zeros((4, 4)), np.zeros(4))
    scores = b.op("add", [direct, mistaken], (4,))
    return Artifact(b.program(x, b.op("add", [scores, nothing], (4,))), b.tensors)


_GATE_WEIGHTS = [[0] * 5, [0] * 5, [0, 4, 0, 0, 0], [0, 0, 4, 4, 0], [0, 0, 6, 6, 0], [0, 0, 0, 0, 4]]


def _linear(b: Builder, x: str, weight, bias, activation: str = "none") -> str:
    tensors = {"weight": np.array(weight, np.float32), "bias": np.array(bias, np.float32)}
    return b.op("linear", [x], (len(tensors["bias"]),), None, tensors, activation=activation)


def images(count: int = 200, seed: int = 0) -> tuple[ArraySource, np.ndarray, np.ndarray]:
    """The images, their labels [N] and what the coin said [N] bool."""
    rng = np.random.default_rng(seed)
    labels, heads = rng.integers(0, 4, count), rng.random(count) < 0.5
    inputs = np.zeros((count, 5, SIDE, SIDE), np.float32)
    inputs[np.arange(count), labels] = 1
    inputs[heads, 4] = 1
    return ArraySource(inputs, labels, CLASSES), labels, heads


def decisions(labels: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """[N, 6] bool: what the gates must decide."""
    pair = labels >= 2
    always = np.ones(len(labels), bool)
    return np.stack([always, ~always, labels == 1, pair, pair, heads], axis=1)


def macs(labels: np.ndarray, heads: np.ndarray, dense: int) -> np.ndarray:
    """[N]: what each image must cost, less the same constant for all: 5 MACs a pixel for each open channel of the first
    convolution, 4 of the second."""
    return decisions(labels, heads).sum(1) * 9 * SIDE**2
