"""Which algorithm at which open rate: measured on the machine at hand, layer by layer.

A 3x3 convolution can be computed directly, in time proportional to what is open, or by Winograd, whose transforms do
not shrink with the gates. Where the one overtakes the other depends on the layer, the processor and the number of
threads. The answers are kept beside the artifact in `NAME.tuning.json`, keyed by all of these, so that only the first
load of a file on a kind of machine pays for the measurement.
"""

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from .artifact import Artifact, write_whole
from .program import Preprocessing, Program

EIGHTHS = 8  # open rates are told apart in eighths of a layer's multiply-adds
REPEATS = 5  # the best of so many runs is compared: what disturbs a run only ever slows it

Picks = dict[str, list[int]]  # op -> the fastest candidate at 1/8, 2/8, ... 8/8


def autotune(engine: Any, artifact: Artifact, threads: int, path: Path | None) -> Picks:
    """Sets the picks of `engine` (built with all candidates), from `path` where they are known, else by measuring;
    what was measured is written to `path`, if it can be."""
    key = f"{processor()}, {engine.isa}, {threads} threads, {digest(artifact.program)}"
    known = _read(path)
    picks: Picks = known[key] if _fits(known.get(key), engine, artifact) else {}
    if not picks:
        picks = measure(engine, artifact)
        _write(path, {**known, key: picks})
    for index, op in enumerate(artifact.program.ops):
        for eighths, candidate in enumerate(picks.get(op.name, ()), start=1):
            engine.pick(index, eighths, candidate)
    return picks


def measure(engine: Any, artifact: Artifact) -> Picks:
    """Times every candidate of every op that has several, at each eighth."""
    picks: Picks = {}
    for index, op in enumerate(artifact.program.ops):
        candidates = range(engine.candidates(index))
        if len(candidates) < 2:
            continue
        times = [[engine.time(index, c, eighths, REPEATS) for c in candidates] for eighths in range(1, EIGHTHS + 1)]
        picks[op.name] = [min(candidates, key=row.__getitem__) for row in times]
    return picks


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
    """Shapes decide how long a layer takes; weights, preprocessing and the names of classes do not."""
    bare = replace(program, preprocessing=Preprocessing(), classes=())
    return hashlib.sha256(bare.to_json().encode()).hexdigest()[:16]


def _fits(picks: Any, engine: Any, artifact: Artifact) -> bool:
    """True where a file says exactly what this engine wants to know; it may be old, or edited."""
    wanted = {op.name: engine.candidates(i) for i, op in enumerate(artifact.program.ops) if engine.candidates(i) > 1}
    if not isinstance(picks, dict) or picks.keys() != wanted.keys():
        return False
    return all(
        isinstance(row, list) and len(row) == EIGHTHS and all(type(c) is int and 0 <= c < wanted[name] for c in row)
        for name, row in picks.items()
    )


def _read(path: Path | None) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text()) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path | None, known: dict[str, Any]) -> None:
    """A folder that cannot be written to costs the cache, nothing else."""
    if path is not None:
        with suppress(OSError):
            write_whole(path, [json.dumps(known, indent=1).encode()])
