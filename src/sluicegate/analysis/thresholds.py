"""The same gates at other thresholds: a higher one closes more of them.

Legend: N images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sluicegate.analysis.observed import Progress
from sluicegate.analysis.scenes import counted, fitting_batch
from sluicegate.analysis.source import Source
from sluicegate_runtime import Artifact, Program, Session, attributes_of, benchmark, without_gates

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class OperatingPoint:
    """What a network does at one threshold.

    Attributes:
        threshold: above which probability a gate is open.
        accuracy: in [0, 1]; None without labels.
        macs: of an image, the mean.
        open_rate: share of (image, gate) pairs that are open.
        milliseconds: of one image in the engine, the median.
    """

    threshold: float
    accuracy: float | None
    macs: float
    open_rate: float
    milliseconds: float


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one image in the engine, medians over the same images in turns: `gated` as the network is,
    `dense` without its gates, and by threshold."""

    gated: float
    dense: float
    at: dict[float, float]
    threads: int
    images: int


def own_threshold(program: Program) -> float | None:
    """The threshold that a program was exported with, if a threshold moves all of its gates, and the same."""
    gates = [op for op in program.ops if op.kind == "gate"]
    if not gates or any(op.attributes.get("top_k") for op in gates):
        return None
    logits = {float(attributes_of(op)["threshold"]) for op in gates}  # type: ignore[arg-type]
    return 1 / (1 + math.exp(-logits.pop())) if len(logits) == 1 else None


def thresholds_of(program: Program, wanted: Sequence[float] = THRESHOLDS) -> tuple[float, ...]:
    """The thresholds to measure at: those that are wanted and the program's own; none where no threshold moves it."""
    own = own_threshold(program)
    if own is None:
        return ()
    others = {round(one, 6) for one in wanted if abs(one - own) > 1e-6}
    return tuple(sorted(others | {round(own, 6)}))


def measure_speed(
    artifact: Artifact, images: np.ndarray, thresholds: Sequence[float] = (), threads: int = 1, rounds: int = 3
) -> Speed:
    """Time the engine, one image at a call, all contenders in turns.

    Args:
        artifact: the network.
        images: [N, C, H, W] float32 to time it on.
        thresholds: time it at these, too.
        threads: of the engine.
        rounds: how often each image is run.
    """
    gated, dense = Session(artifact, threads), Session(without_gates(artifact), threads)
    contenders = {"gated": gated.run, "dense": dense.run}
    contenders |= {f"at {one}": _at(gated, one) for one in thresholds}
    batches = [images[i : i + 1] for i in range(len(images))]
    seconds = benchmark(contenders, batches, rounds * len(batches), pause=0)
    median = {name: 1e3 * float(np.median(taken)) for name, taken in seconds.items()}
    at = {one: median[f"at {one}"] for one in thresholds}
    return Speed(median["gated"], median["dense"], at, threads, len(images))


def _at(session: Session, threshold: float) -> Callable[[np.ndarray], object]:
    return lambda images: session.run(images, threshold)


def measure_thresholds(
    artifact: Artifact,
    images: Source,
    speed: Speed,
    *,
    threads: int = 2,
    batch_size: int = 256,
    progress: Progress = lambda what, done, of: None,
) -> list[OperatingPoint]:
    """Run images at every threshold that `speed` was measured at.

    Args:
        artifact, images, threads, batch_size, progress: as for `observe`.
        speed: see `measure_speed`.
    """
    session = Session(artifact, threads)
    shape = next(session.program.shape(output) for output in session.program.outputs.values())
    gates = sum(session.program.gates.values())
    sums = {threshold: np.zeros(3) for threshold in speed.at}  # right, MACs, open gates
    answers, done = 0, 0  # answers that have a label: one an image, or one a pixel
    for inputs, labels in images.batches(fitting_batch(shape, batch_size)):
        known = None if labels is None else counted(labels)
        answers, done = answers + (0 if known is None else int(known.sum())), done + len(inputs)
        for threshold, total in sums.items():
            result = session.run(inputs, threshold)
            right = 0 if known is None else int(((result.output.argmax(1) == labels) & known).sum())
            total += (right, int(result.macs.sum()), sum(int(rows.sum()) for rows in result.gates.values()))
        progress("trying other thresholds", done, len(images))
    return [
        OperatingPoint(at, right / answers if answers else None, macs / done, opened / (gates * done), speed.at[at])
        for at, (right, macs, opened) in sums.items()
    ]
