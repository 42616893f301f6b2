"""The native engine as an executor: a program handed over, with names resolved to indices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .artifact import Artifact
from .autotune import autotune
from .channels import ChannelRun
from .errors import InputError, RunError
from .ops import room_of
from .program import Op, first_flags
from .result import Result

Run = tuple[int, int, int, int]  # gate or -1, first, count, repeat


class NativeExecutor:
    """The C++ engine. `tune` measures which algorithm suits which op; the answers are kept at `tuning`, if that is a
    path. RunError if there is no engine, no memory or no thread left."""

    def __init__(self, artifact: Artifact, threads: int, tune: bool, winograd: bool, tuning: Path | None) -> None:
        program = artifact.program
        self._outputs, self._gates = tuple(program.outputs), tuple(program.gates)
        # Computed once: a run of a small network is as short as building a few dictionaries.
        first, counts = first_flags(program.values), program.gates
        self._spans = {gate: slice(first[gate], first[gate] + counts[gate]) for gate in counts}
        self._engine = _build(artifact, threads, tune, winograd)
        if tune:
            autotune(self._engine, program, threads, tuning)

    @property
    def isa(self) -> str:
        """ "avx512", "avx2" or "portable"."""
        return self._engine.isa

    def run(self, images: np.ndarray, threshold: float | None) -> Result:
        """See `Executor.run`."""
        try:
            outputs, macs, exits, flags = self._engine.run(np.ascontiguousarray(images), threshold)
        except MemoryError:
            raise RunError(f"images: no memory for {len(images)} at once, or for their results") from None
        decisions = flags.view(bool)  # [N, flags of all gates]
        gates = {gate: decisions[:, span] for gate, span in self._spans.items()}
        return Result(dict(zip(self._outputs, outputs, strict=True)), macs, exits, gates)

    def profile(
        self, image: np.ndarray, repeats: int, gates: Mapping[str, np.ndarray] | None
    ) -> list[tuple[float, int]]:
        """See `Executor.profile`."""
        forced = None
        if gates is not None:
            flags = [np.asarray(gates[gate], bool) for gate in self._gates]
            forced = np.concatenate([np.empty(0, bool), *flags]).astype(np.uint8)
        return self._engine.profile(np.ascontiguousarray(image), repeats, forced)


def _build(artifact: Artifact, threads: int, all_candidates: bool, winograd: bool) -> Any:
    try:
        from ._engine import Engine
    except ImportError as error:
        raise RunError(f"engine: the native module cannot be imported: {error}") from None
    try:
        return Engine(*engine_lists(artifact), threads, all_candidates, winograd)
    except ValueError as error:
        raise InputError(str(error)) from None
    except MemoryError:
        raise RunError(f"engine: no memory for a program of {len(artifact.program.ops)} ops") from None
    except RuntimeError as error:
        raise RunError(f"engine: {threads} threads cannot be started: {error}") from None


def engine_lists(artifact: Artifact) -> tuple[list[Any], list[Any], int, list[int]]:
    """Values, ops, input and outputs as the engine takes them, a value by its position."""
    program = artifact.program
    index = {value.name: position for position, value in enumerate(program.values)}
    values = [(value.kind == "gate", list(value.shape), _runs(value.channels, index)) for value in program.values]
    ops = [_op(op, index, artifact) for op in program.ops]
    return values, ops, index[program.input], [index[name] for name in program.outputs.values()]


def _runs(runs: Sequence[ChannelRun], index: Mapping[str, int]) -> list[Run]:
    return [(index[run.gate] if run.gate else -1, run.first, run.count, run.repeat) for run in runs]


def _op(op: Op, index: Mapping[str, int], artifact: Artifact) -> tuple[Any, ...]:
    tensors = [artifact.tensors[op.tensors[role]] if role in op.tensors else None for role in ("weight", "bias")]
    inputs, when, unless = ([index[name] for name in names] for names in (op.inputs, op.when, op.unless))
    output = index[op.output] if op.output else -1
    return (op.name, op.kind, inputs, output, when, unless, _attributes(op), *tensors)


def _attributes(op: Op) -> dict[str, int | float | str]:
    """Pairs become two numbers, truths whole numbers. A shape of any length is not sent: the output's says it."""
    packed: dict[str, int | float | str] = {}
    room = room_of(op)
    for key, content in room.attributes_of(op).items():
        default = room.attributes[key]
        if isinstance(default, tuple):
            packed |= zip((f"{key}_y", f"{key}_x"), content, strict=True) if default else ()
        elif isinstance(default, str | float):
            packed[key] = type(default)(content)
        else:
            packed[key] = int(content)
    return packed
