"""A gated network whose latency tests measure."""

import numpy as np
from conformance.generate import Builder, exit_early

from sluicegate_runtime import Artifact


def network(exits: bool = False) -> Artifact:
    """A block gated on what it reads, in the middle and at its end, under a layer gate under another; then one whose
    depthwise convolution has one gate on both sides. There may be exits before either block."""
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 9, 9))
    y = b.conv(x, 16, 3, activation="relu")
    if exits:
        exit_early(b, y, 5)
    with b.under(b.gate(y, 1)):
        inner = b.gate(y, 1)
    with b.under(inner):
        gates = [b.gate(y, 16, top_k=0) for _ in range(3)]
        z = b.op("select", [y], b.shape(y), gates[0])
        z = b.conv(z, 16, 3, gate=gates[1], activation="relu")
        z = b.conv(z, 16, 3, gate=gates[2])
    y = b.op("add", [y, z], b.shape(y))
    if exits:
        exit_early(b, y, 5)
    gate = b.gate(y, 8, top_k=0)
    z = b.conv(y, 32, 1, gate=gate, activation="relu6")
    z = b.conv(b.conv(z, 32, groups=32, gate=gate), 16, 1)
    return Artifact(b.program(x, b.linear(b.pooled(z), 5)), b.tensors)
