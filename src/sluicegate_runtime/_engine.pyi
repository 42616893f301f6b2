"""The native engine, as `csrc/bindings/module.cpp` shows it to Python."""

from collections.abc import Mapping, Sequence

import numpy as np

# (is a gate, shape, index of the gate or -1)
_Value = tuple[bool, Sequence[int], int]
# (name, kind, inputs, output, when, attributes, threshold, weight, bias)
_Op = tuple[str, int, Sequence[int], int, int, Mapping[str, int], float, np.ndarray | None, np.ndarray | None]

class Engine:
    isa: str
    gates: list[tuple[int, int]]  # (index of the value, flags)

    def __init__(
        self,
        values: Sequence[_Value],
        ops: Sequence[_Op],
        input: int,
        output: int,
        threads: int,
        all_candidates: bool = False,
        winograd: bool = True,
    ) -> None: ...
    def candidates(self, op: int) -> int: ...
    def profile(self, image: np.ndarray, repeats: int, forced: np.ndarray | None = None) -> list[tuple[float, int]]:
        """Of each op: (seconds of all repeats together, MACs of one); `forced` uint8 [all flags of all gates]"""
    def pick(self, op: int, eighths: int, candidate: int) -> None: ...
    def run(self, images: np.ndarray, threshold: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(output [N, ...], macs [N], exits [N], flags [N, all flags of all gates])"""

def isas() -> list[str]: ...
