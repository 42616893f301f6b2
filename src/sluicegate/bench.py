"""How long a `.sluice` file takes: gated and dense in this engine, dense in every other one that is installed.

    realised saving = (1 - time / dense time) / (1 - MACs / dense MACs)

where dense is the same network without its gates, in this engine. Times are medians over calls in turns
(`sluicegate_runtime.timing`), MACs the mean over the images that were timed.

Shapes: images [N, C, H, W] float32.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sluicegate.analysis.peers import PEERS_F32, dense_peers
from sluicegate.errors import InputError
from sluicegate.export import lift, lower
from sluicegate_runtime import Artifact, LatencyTable, Session, dense_program, load, time_in_turns

GATED, DENSE = "ours gated", "ours dense"


@dataclass(frozen=True)
class Timing:
    """One contender.

    Attributes:
        name: who.
        median_ms, best_ms: milliseconds of a call.
        over_fastest_peer: median over that of the fastest float32 peer.
        macs: of an image, the mean.
        realised_saving: of the gated network; None where gates save no MACs.
        error: largest difference from PyTorch's outputs over the largest of these; None for the gated network, which
            computes something else.
    """

    name: str
    median_ms: float
    best_ms: float
    over_fastest_peer: float
    macs: float
    realised_saving: float | None = None
    error: float | None = None


def compare(
    file: Path, images: np.ndarray, threads: int = 2, per_call: int = 1, repeats: int = 100, tune: bool = False
) -> list[Timing]:
    """Time a file's network, gated (where it has gates) and dense, against every peer.

    Args:
        file: a `.sluice` file.
        images: what to run, `per_call` at a time, and from the first again when they are through.
        threads: of each contender.
        per_call: images at a call.
        repeats: timed calls of each contender.
        tune: see `Session`.

    Raises:
        InputError: the file cannot be read, or there are fewer images than a call takes.
    """
    if not 1 <= per_call <= len(images):
        raise InputError(f"images: {per_call} at a call is not in 1..{len(images)}, of which there are so many")
    artifact = load(file)
    batches = [images[i : i + per_call] for i in range(0, len(images) - per_call + 1, per_call)]
    plain = lift(dense_program(artifact))
    example = torch.from_numpy(batches[0])
    dense = Session(Artifact(*lower(plain, example[:1])), threads, tune)
    sessions = {DENSE: dense}
    if any(value.kind == "gate" for value in artifact.program.values):
        sessions = {GATED: Session(file, threads, tune), **sessions}
    macs = {name: float(np.mean([session.run(batch).macs for batch in batches])) for name, session in sessions.items()}
    ours = {name: partial(_output, session) for name, session in sessions.items()}
    contenders = {**ours, **dense_peers(plain, example, threads)}
    seconds = time_in_turns(contenders, batches, repeats)
    errors = _errors(contenders, batches[0])
    return [_timing(name, seconds, macs, errors) for name in contenders]


def predicted(file: Path, images: np.ndarray, table: LatencyTable, threads: int = 2, tune: bool = False) -> float:
    """What a latency table makes of a file's gates on these images: milliseconds of one image, the median.

    Raises:
        InputError: the table is of another program, machine or number of threads.
    """
    session = Session(file, threads, tune)
    table.check(session)
    return float(np.median(table.milliseconds(session.run(images).gates)))


def _output(session: Session, images: np.ndarray) -> np.ndarray:
    return session.run(images).output


def _errors(contenders: Mapping[str, Callable[[np.ndarray], np.ndarray]], batch: np.ndarray) -> dict[str, float]:
    wanted = contenders["torch eager"](batch)
    scale = np.abs(wanted).max()
    return {name: float(np.abs(run(batch) - wanted).max() / scale) for name, run in contenders.items() if name != GATED}


def _timing(
    name: str, seconds: Mapping[str, list[float]], macs: Mapping[str, float], errors: Mapping[str, float]
) -> Timing:
    median = {one: statistics.median(taken) for one, taken in seconds.items()}
    fastest = min(median[peer] for peer in PEERS_F32 if peer in median)
    saved = 1 - macs.get(name, macs[DENSE]) / macs[DENSE]
    return Timing(
        name=name,
        median_ms=1e3 * median[name],
        best_ms=1e3 * min(seconds[name]),
        over_fastest_peer=median[name] / fastest,
        macs=macs.get(name, macs[DENSE]),
        realised_saving=(1 - median[name] / median[DENSE]) / saved if saved > 0 else None,
        error=errors.get(name),
    )
