"""The result of running a program."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Result:
    """N samples; one row each.

    Attributes:
        outputs: name -> [N, ...] float32, what the network returns, in its order.
        macs: [N] int64, multiply-adds that were executed.
        exits: [N] int64, the exit at which the sample left, counted from 0 in program order; -1 if it did not leave.
        gates: name -> [N, G] bool, what each gate decided; a gate that was not evaluated counts as closed.
    """

    outputs: Mapping[str, np.ndarray]
    macs: np.ndarray
    exits: np.ndarray
    gates: dict[str, np.ndarray]

    @property
    def output(self) -> np.ndarray:
        """The first output, [N, ...] float32."""
        return next(iter(self.outputs.values()))

    @property
    def open_rate(self) -> dict[str, np.ndarray]:
        """Share of open gates, name -> [N] float64 in [0, 1]."""
        return {name: decisions.mean(axis=1) for name, decisions in self.gates.items()}
