"""The interface of an engine that runs a session's program."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from .result import Result


class Executor(Protocol):
    """Runs one program. Its arguments have been checked."""

    @property
    def isa(self) -> str:
        """The instruction set that it uses."""
        ...

    def run(self, images: np.ndarray, threshold: float | None) -> Result:
        """[N, C, H, W] float32; `threshold`, a logit, in place of every gate's own. RunError if memory runs out."""
        ...

    def profile(
        self, image: np.ndarray, repeats: int, gates: Mapping[str, np.ndarray] | None
    ) -> list[tuple[float, int]]:
        """Of each op: (seconds of all repeats together, MACs of one), for [C, H, W] float32. `gates`: name -> [G] bool
        for every gate, in place of what they decide."""
        ...
