"""The native engine, as `csrc/bindings/module.cpp` shows it to Python."""

from collections.abc import Mapping, Sequence

import numpy as np

# gate or -1, first, count, repeat: a run of channels
_Run = tuple[int, int, int, int]
# (is a gate, shape, runs)
_Value = tuple[bool, Sequence[int], Sequence[_Run]]
# (name, kind, inputs, output or -1, when, unless, attributes, weight, bias)
_Op = tuple[
    str,
    str,
    Sequence[int],
    int,
    Sequence[int],
    Sequence[int],
    Mapping[str, int | float | str],
    np.ndarray | None,
    np.ndarray | None,
]

class Engine:
    isa: str
    gates: list[tuple[int, int]]  # (index of the value, flags)

    def __init__(
        self,
        values: Sequence[_Value],
        ops: Sequence[_Op],
        input: int,
        outputs: Sequence[int],
        threads: int,
        all_candidates: bool = False,
        winograd: bool = True,
    ) -> None: ...
    def candidates(self, op: int) -> int: ...
    def profile(self, image: np.ndarray, repeats: int, forced: np.ndarray | None = None) -> list[tuple[float, int]]:
        """Of each op: (seconds of all repeats together, MACs of one); `forced` uint8 [all flags of all gates]"""
    def pick(self, op: int, eighths: int, candidate: int) -> None: ...
    def run(
        self, images: np.ndarray, threshold: float | None
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """(outputs [N, ...] each, macs [N], exits [N], flags [N, all flags of all gates])"""

def isas() -> list[str]: ...
