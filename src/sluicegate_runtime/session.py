"""Runs a program in the native engine."""

import os
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .artifact import Artifact, load
from .autotune import autotune
from .errors import InputError, RunError
from .program import Op
from .reference import check_array, check_images, logit_of
from .result import Result
from .spec import ACTIVATIONS, ATTRIBUTES, attributes_of

KINDS = tuple(ATTRIBUTES)  # the engine knows a kind by its place here


class Session:
    """A loaded program, ready to run.

    `source` is the path of a `.sluice` file or an `Artifact`; `threads` (1 to 1024) includes the calling one; `tune`
    measures which algorithm suits which layer at which open rate. Without `winograd` every layer is computed directly:
    slower, but each product is rounded once.
    Python threads may share a session: a run releases the GIL, and runs of one session queue up. InputError
    where the file, the program or `threads` is refused, RunError where there is no engine, no memory or no thread left.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Artifact,
        threads: int = 2,
        tune: bool = False,
        winograd: bool = True,
    ) -> None:
        artifact = source if isinstance(source, Artifact) else load(source)
        if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= 1024:
            raise InputError(f"threads: {threads!r} is not a whole number from 1 to 1024")
        self.program, self.threads = artifact.program, threads
        self._gates = [value for value in self.program.values if value.kind == "gate"]
        ends = list(accumulate(value.shape[0] for value in self._gates))
        self._spans = {v.name: slice(end - v.shape[0], end) for v, end in zip(self._gates, ends, strict=True)}
        self._engine = _build(artifact, threads, tune, winograd)
        if tune:
            beside = None if isinstance(source, Artifact) else Path(f"{os.fspath(source)}.tuning.json")
            autotune(self._engine, artifact, threads, beside)

    @property
    def isa(self) -> str:
        """The instruction set that the engine uses: "avx512", "avx2" or "portable"; $SLUICEGATE_ISA
        overrides."""
        return self._engine.isa

    def run(self, images: np.ndarray, threshold: float | None = None) -> Result:
        """Runs `images` [N, C, H, W] float32, each with gates of its own. `threshold` in [0, 1] moves the
        operating point: a gate is open where sigmoid(logit) > threshold, instead of at the threshold that it
        was exported with; one that opens its k largest does so still. InputError if dtype, shape or threshold is
        refused, RunError if there is no memory for so many images. NaN in an image stays with that image."""
        check_images(self.program, images)
        cut = None if threshold is None else logit_of(threshold)
        try:
            output, macs, exits, flags = self._engine.run(np.ascontiguousarray(images), cut)
        except MemoryError:
            raise RunError(f"images: no memory for {len(images)} at once, or for their results") from None
        decisions = flags.view(bool)
        return Result(output, macs, exits, {name: decisions[:, span] for name, span in self._spans.items()})

    def profile(
        self, image: np.ndarray, repeats: int = 10, gates: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, tuple[float, int]]:
        """Where the time of one `image` [C, H, W] float32 goes: op -> (milliseconds, executed MACs), the time a mean
        over `repeats`. An op that a closed layer gate skips or that lies behind an exit counts as run in next to no
        time, and so does one that is run strip by strip with others before it: their first has the time of all.
        `gates`, name -> [G] bool for every gate of the program, says what is open in place of the gates
        themselves, whose time is spent all the same. InputError where the image, `repeats` or `gates` is refused."""
        check_array("image", image, self.program.shape(self.program.input))
        if repeats < 1:
            raise InputError(f"repeats: {repeats} is not 1 or more")
        forced = None if gates is None else self._flags(gates)
        costs = self._engine.profile(np.ascontiguousarray(image), repeats, forced)
        ops = zip(self.program.ops, costs, strict=True)
        return {op.name: (1e3 * seconds / repeats, macs) for op, (seconds, macs) in ops}

    def _flags(self, gates: Mapping[str, np.ndarray]) -> np.ndarray:
        """The decisions of all gates in a row, as the engine wants them."""
        shapes = {value.name: value.shape for value in self._gates}
        for name in {**shapes, **gates}:
            given, own = np.shape(gates.get(name, 0)), shapes.get(name)
            if given != own:
                raise InputError(f"gates: {name!r} is given as {given}, and is {own or 'no gate'} in the program")
        flags = [np.asarray(gates[name], bool) for name in shapes]
        return np.concatenate([np.empty(0, bool), *flags]).astype(np.uint8)


def _build(artifact: Artifact, threads: int, all_candidates: bool, winograd: bool) -> Any:
    try:
        from ._engine import Engine
    except ImportError as error:
        raise RunError(f"engine: the native module cannot be imported: {error}") from None
    program = artifact.program
    index = {value.name: position for position, value in enumerate(program.values)}
    values = [
        (value.kind == "gate", list(value.shape), index[value.gate] if value.gate else -1) for value in program.values
    ]
    ops = [_op(op, index, artifact) for op in program.ops]
    try:
        return Engine(values, ops, index[program.input], index[program.output], threads, all_candidates, winograd)
    except ValueError as error:
        raise InputError(str(error)) from None
    except MemoryError:
        raise RunError(f"engine: no memory for a program of {len(program.ops)} ops") from None
    except RuntimeError as error:
        raise RunError(f"engine: {threads} threads cannot be started: {error}") from None


def _op(op: Op, index: dict[str, int], artifact: Artifact) -> tuple[Any, ...]:
    """An op as the engine is given it: names resolved to indices, pairs to two numbers, words to their
    place."""
    has = dict(attributes_of(op))
    threshold = float(has.pop("threshold", 0.0))
    attributes: dict[str, int] = {}
    for key, content in has.items():
        if isinstance(content, tuple):
            attributes[f"{key}_y"], attributes[f"{key}_x"] = content
        else:
            attributes[key] = ACTIVATIONS.index(content) if isinstance(content, str) else int(content)
    tensors = [artifact.tensors[op.tensors[role]] if role in op.tensors else None for role in ("weight", "bias")]
    inputs = [index[name] for name in op.inputs]
    output = index[op.output] if op.output else -1
    when = index[op.when] if op.when else -1
    return (op.name, KINDS.index(op.kind), inputs, output, when, attributes, threshold, *tensors)
