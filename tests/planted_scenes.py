"""A small network that answers for pixels, whose gates and mistakes are planted, and scenes of which all is known.

An image has 4 channels: channel k is bright at pixels of class k (of 3), the last everywhere where a coin fell on
heads. Of two gates one is always on, the other is for heads. Pixels of class 0 are then taken for class 2.
"""

import numpy as np
from conformance.builder import Builder

from sluicegate.analysis.scenes import VOID
from sluicegate.analysis.source import ArraySource
from sluicegate_runtime import Artifact

CLASSES = ("road", "sky", "tree")
SIDES = (5, 6)
_WEIGHTS = [[4, 0, 0, -3], [0, 4, 0, 0], [0, 0, 4, 2]]


def network() -> Artifact:
    """Answers [3, 5, 6] of images [4, 5, 6]."""
    b = Builder(np.random.default_rng(0))
    x = b.value((4, *SIDES))
    steps = {"weight": np.array([[0, 0, 0, 0], [0, 0, 0, 8]]), "bias": np.array([9, -4])}
    gate = b.op("gate", [b.op("linear", [b.pooled(x)], (2,), None, steps, activation="none")], (2,))
    nothing = _filled(b, b.conv(b.conv(x, 2, 1, gate=gate), 3, 1), 0)
    scores = _filled(b, b.conv(x, 3, 1), np.array(_WEIGHTS)[:, :, None, None])
    return Artifact(b.program(x, b.op("add", [scores, nothing], (3, *SIDES))), b.tensors)


def _filled(b: Builder, output: str, weight) -> str:
    """The output of the last op, whose weights become these, and its bias 0."""
    roles = b.ops[-1].tensors
    b.tensors[roles["weight"]][:] = weight
    b.tensors[roles["bias"]][:] = 0
    return output


def scenes(count: int = 40, seed: int = 0) -> tuple[ArraySource, np.ndarray, np.ndarray, np.ndarray]:
    """The images; their masks [N, 5, 6], of which some pixels are void; what will be answered; what the coin said."""
    rng = np.random.default_rng(seed)
    classes, heads = rng.integers(0, 3, (count, *SIDES)), rng.random(count) < 0.5
    inputs = np.zeros((count, 4, *SIDES), np.float32)
    np.put_along_axis(inputs, classes[:, None], 1, axis=1)
    inputs[heads, 3] = 1
    answers = np.where(heads[:, None, None] & (classes == 0), 2, classes)
    masks = np.where(rng.random(classes.shape) < 0.1, VOID, classes)
    return ArraySource(inputs, masks, CLASSES), masks, answers, heads
