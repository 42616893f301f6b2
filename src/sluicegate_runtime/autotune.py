"""The fastest algorithm for each layer at each open rate, measured on this machine.

A 3x3 convolution can be computed directly, in time proportional to the open channels, or by Winograd, whose transforms
do not get cheaper when gates close. Which is faster depends on the open rate, the layer, the processor and the number
of threads. The choices are stored beside the artifact in `NAME.tuning.json`, with all of these as keys. So only the
first load of a file on a kind of machine takes time to measure.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .files import whole_file
from .ops import room_of
from .program import Attribute, Op, Program

EIGHTHS = 8  # open rates are rounded to eighths of a layer's multiply-adds
REPEATS = 5  # the best of so many runs is used, because disturbances only make a run slower

Picks = dict[str, list[int]]  # op -> the fastest candidate at 1/8, 2/8, ... 8/8


def autotune(engine: Any, program: Program, threads: int, path: Path | None) -> Picks:
    """Sets the picks of `engine` (built with all candidates), from `path` where they are known, else by measuring;
    what was measured is written to `path`, if it can be."""
    choices = {op.name: engine.candidates(i) for i, op in enumerate(program.ops) if engine.candidates(i) > 1}
    if not choices:
        return {}
    key = f"{processor()}, {engine.isa}, {threads} threads, {digest(program)}"
    known = _read(path)
    picks = known.get(key, {})
    if not _fits(picks, choices):
        picks = measure(engine, program)
        _write(path, {**known, key: picks})
    for index, op in enumerate(program.ops):
        if op.name in choices:
            row = picks[op.name]
            for eighths, candidate in enumerate((row[0], *row)):  # next to nothing open counts as 1/8
                engine.pick(index, eighths, candidate)
    return picks


def measure(engine: Any, program: Program) -> Picks:
    """Times the whole program once for each candidate and share of open gates, so that caches are as in real use. An op
    timed alone, again and again, would find its weights in the cache, but in real use they come from memory."""
    counts = {i: engine.candidates(i) for i in range(len(program.ops)) if engine.candidates(i) > 1}
    most = max(counts.values(), default=0)
    times = np.array([_times(engine, program, c, counts) for c in range(most)])  # [candidates, shares, ops]
    return {
        program.ops[i].name: [
            int(times[:count, _share(program, i, eighths) - 1, i].argmin()) for eighths in range(1, EIGHTHS + 1)
        ]
        for i, count in counts.items()
    }


def _times(engine: Any, program: Program, candidate: int, counts: Mapping[int, int]) -> list[np.ndarray]:
    """Seconds of each op, the best of some runs, with every op at this candidate if it has it; by the share of open
    gates, 1/8 to 8/8."""
    for index, count in counts.items():
        for eighths in range(EIGHTHS + 1):
            engine.pick(index, eighths, min(candidate, count - 1))
    image = np.zeros(program.shape(program.input), np.float32)
    found = []
    for share in range(1, EIGHTHS + 1):
        flags = _flags(program, share)
        runs = [[seconds for seconds, _ in engine.profile(image, 1, flags)] for _ in range(REPEATS)]
        found.append(np.min(runs, axis=0))
    return found


def _flags(program: Program, share: int) -> np.ndarray:
    """This many eighths of the channels of every gate open, as evenly as they can be. Layer gates are open, and so are
    those of exits: all layers run, to the end."""
    channels = {run.gate for value in program.values for run in value.channels}
    channels -= {gate for op in program.ops for gate in (*op.when, *op.unless)}
    flags = [np.empty(0, np.uint8)]
    for gate, count in program.gates.items():
        eighths = share if gate in channels else EIGHTHS
        flags.append(np.diff(np.arange(count + 1) * eighths // EIGHTHS).astype(np.uint8))
    return np.concatenate(flags)


def _share(program: Program, index: int, eighths: int) -> int:
    """The share of open gates, in eighths, at which this op does so many eighths of its work: between two gates their
    product counts."""
    gated = {value.name for value in program.values if any(run.gate for run in value.channels)}
    op = program.ops[index]
    both = op.inputs[0] in gated and op.output in gated
    return max(1, round((EIGHTHS * eighths) ** 0.5)) if both else eighths


def processor() -> str:
    """The processor's own name where the system tells it, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [
        line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu family", "model\t"))
    ]
    return " ".join(names[:3]) or f"{platform.machine()} {platform.processor()}"


def digest(program: Program) -> str:
    """Of what a layer's time depends on: shapes, not weights, preprocessing, names of classes or thresholds."""
    ops = tuple(replace(op, attributes=_lasting(op)) for op in program.ops)
    bare = replace(program, ops=ops, preprocessing=None, classes=())
    return hashlib.sha256(bare.to_json().encode()).hexdigest()[:16]


def _lasting(op: Op) -> dict[str, Attribute]:
    """An op's attributes without those that only decide what is open."""
    return {key: content for key, content in op.attributes.items() if key not in room_of(op).decides}


def _fits(picks: Any, choices: Mapping[str, int]) -> bool:
    """Whether a file has exactly the choices that this engine needs; the file may be old, or edited."""
    if not isinstance(picks, dict) or picks.keys() != choices.keys():
        return False
    return all(
        isinstance(row, list) and len(row) == EIGHTHS and all(type(c) is int and 0 <= c < choices[name] for c in row)
        for name, row in picks.items()
    )


def _read(path: Path | None) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text()) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path | None, known: dict[str, Any]) -> None:
    """If the folder cannot be written to, the choices are not stored; nothing else fails."""
    if path is not None:
        with suppress(InputError), whole_file(path) as part:
            part.write_text(json.dumps(known, indent=1), encoding="utf-8")
