"""Session: runs a program with any engine."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from .artifact import Artifact, load_program, loads_program
from .errors import InputError
from .executor import Executor
from .native import NativeExecutor
from .reference import ReferenceExecutor, check_array, check_images, logit_of
from .result import Result
from .threads import fastest_threads

ENGINES = ("native", "reference")


class Session:
    """A loaded program, ready to run.

    Python threads may share a session: a run releases the GIL, and runs of one session wait for each other.

    Args:
        source: the path of a `.sluice` file, its bytes, or an `Artifact`.
        threads: of the native engine, 1 to 1024, the calling one included; None: measure once which number is fastest.
        tune: measure the fastest algorithm for each layer at each open rate; the choices are stored beside the file.
        winograd: False computes every layer directly: slower, but each product is rounded once.
        engine: "native", or "reference", the slow NumPy definition.

    Raises:
        InputError: the file, the program or an argument is refused.
        RunError: the engine is missing, or there is not enough memory or threads.

        session = Session("net.sluice", threads=2)
        result = session.run(images)  # float32 [N, C, H, W]
        result.output, result.macs
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview | Artifact,
        threads: int | None = 2,
        tune: bool = False,
        winograd: bool = True,
        engine: str = "native",
    ) -> None:
        if threads is not None and (
            not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= 1024
        ):
            raise InputError(f"threads: {threads!r} is not a whole number from 1 to 1024, or None")
        if engine not in ENGINES:
            raise InputError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
        artifact = _artifact(source)
        if threads is None:
            plain = partial(NativeExecutor, artifact, tune=False, winograd=winograd, tuning=None)
            threads = 1 if engine == "reference" else fastest_threads(lambda n: plain(threads=n), artifact.program)
        self.program, self.threads, self.engine = artifact.program, threads, engine
        self._executor: Executor
        if engine == "native":
            tuning = Path(f"{os.fspath(source)}.tuning.json") if isinstance(source, str | os.PathLike) else None
            self._executor = NativeExecutor(artifact, threads, tune, winograd, tuning)
        else:
            self._executor = ReferenceExecutor(artifact)

    @property
    def isa(self) -> str:
        """The instruction set in use: "avx512", "avx2" or "portable", which $SLUICEGATE_ISA overrides; "numpy" of the
        reference."""
        return self._executor.isa

    def run(self, images: np.ndarray, threshold: float | None = None) -> Result:
        """Run images, each with gates of its own.

        Args:
            images: [N, C, H, W] float32. NaN in an image affects only that image.
            threshold: in [0, 1]; replaces the threshold of the file: a gate is open if sigmoid(logit) > threshold. It
                does not affect gates that open their k largest logits, and gates that are always kept open.

        Returns:
            Outputs, executed multiply-adds, exits and decisions, a row for each image.

        Raises:
            InputError: dtype, shape or threshold is refused.
            RunError: there is not enough memory for so many images.
        """
        check_images(self.program, images)
        return self._executor.run(images, None if threshold is None else logit_of(threshold))

    def profile(
        self, image: np.ndarray, repeats: int = 10, gates: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, tuple[float, int]]:
        """Where the time of one image goes.

        Args:
            image: [C, H, W] float32.
            repeats: how often it is run.
            gates: name -> [G] bool for every gate of the program: use these decisions instead of the gates' own. The
                gates are still evaluated.

        Returns:
            Op -> (milliseconds, executed MACs); milliseconds are a mean over `repeats`. An op that is skipped, or comes
            after the image's exit, has a time of nearly 0. For ops that are run together strip by strip, the first op
            has the time of all of them.

        Raises:
            InputError: the image, `repeats` or `gates` is refused.
        """
        check_array("image", image, self.program.shape(self.program.input))
        if repeats < 1:
            raise InputError(f"repeats: {repeats} is not 1 or more")
        if gates is not None:
            self._check_gates(gates)
        costs = self._executor.profile(image, repeats, gates)
        ops = zip(self.program.ops, costs, strict=True)
        return {op.name: (1e3 * seconds / repeats, macs) for op, (seconds, macs) in ops}

    def _check_gates(self, gates: Mapping[str, np.ndarray]) -> None:
        counts = self.program.gates
        for name in {**counts, **gates}:
            given = np.shape(gates.get(name, 0))
            own = (counts[name],) if name in counts else None
            if given != own:
                raise InputError(f"gates: {name!r} is given as {given}, and is {own or 'no gate'} in the program")


def _artifact(source: object) -> Artifact:
    if isinstance(source, Artifact):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return loads_program(bytes(source))
    if isinstance(source, str | os.PathLike):
        return load_program(source)
    found = type(source).__name__
    raise InputError(f"source: {found} is neither a path, nor the bytes of a file, nor an Artifact")
