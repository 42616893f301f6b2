"""Everything that a report shows of one network, measured on its images.

    found = analyse(load_program("net.sluice"), find_images(folder, program), "net")
    found.seen.accuracy, found.gates, found.by_cost

Legend: N images, K classes, S sites, G gates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sluicegate.analysis.blocks import block_table
from sluicegate.analysis.classes import class_rates, class_table, confusions, specialists
from sluicegate.analysis.embedding import gate_map
from sluicegate.analysis.examples import accuracy_by_cost, easiest, hardest, opening_images, rank_correlation
from sluicegate.analysis.figures.gates import PRIOR
from sluicegate.analysis.frontier import Series
from sluicegate.analysis.gates import agreeing_gates, gate_table, layer_table
from sluicegate.analysis.observed import Observed, Progress, observe
from sluicegate.analysis.scenes import iou_table
from sluicegate.analysis.source import Source
from sluicegate.analysis.thresholds import (
    THRESHOLDS,
    OperatingPoint,
    Speed,
    measure_speed,
    measure_thresholds,
    own_threshold,
    thresholds_of,
)
from sluicegate_runtime import Artifact, Session
from sluicegate_runtime.autotune import processor

TIMED = 50  # images that the engine is timed with
PROFILED = 10  # images whose time is split by block
SHOWN = 12  # images in a gallery, and rows of special gates
OPENING = 6  # images shown of a special gate

Masks = tuple[np.ndarray | None, np.ndarray]
"""The mask of an image, where it has one, and the answer, both [H, W]."""


@dataclass(frozen=True)
class Context:
    """What is known of a network in addition to its file.

    Attributes:
        name: of the network.
        data: a description of the images.
        history: a run's `metrics.csv`, or None.
        accuracy_before: accuracy of the network without gates, or None.
        prior: a and b of the Beta prior of its training, or None.
        beside: other networks to draw in the same frontier.
    """

    name: str
    data: str = "images"
    history: pd.DataFrame | None = None
    accuracy_before: float | None = None
    prior: tuple[float, float] | None = None
    beside: tuple[Series, ...] = ()


@dataclass(frozen=True)
class Findings:
    """See the top of the file. Without labels, `classes`, `confusions`, `special` and `rates` are empty.

    Attributes:
        context: what is known in addition to the file.
        seen: the pass over all images.
        speed: milliseconds in the engine.
        points: results at other thresholds; empty if thresholds have no effect on the gates.
        own: the threshold of the file, or None.
        gates, layers, blocks, by_cost, classes, confusions, special, map: see `gate_table`, `layer_table`,
            `block_table`, `accuracy_by_cost`, `class_table`, `confusions`, `specialists`, `gate_map`. A special gate's
            `images` are the first that open it.
        rates: [K, G], see `class_rates`.
        agreeing: groups of gates that always agree, by their numbers.
        correlation: rank correlation of MACs with the loss with every gate open, or None.
        hardest, easiest: numbers of images.
        pictures: number of an image -> its input, [C, H, W], for all images that the page shows.
        ious: see `iou_table`; empty without masks.
        masks: number of an image -> its mask, or None, and the answer, both [H, W]; for segmentation networks only.
        machine: the processor.
    """

    context: Context
    artifact: Artifact
    seen: Observed
    speed: Speed
    points: list[OperatingPoint]
    own: float | None
    gates: pd.DataFrame
    layers: pd.DataFrame
    blocks: pd.DataFrame
    by_cost: pd.DataFrame
    map: pd.DataFrame
    agreeing: list[list[int]]
    classes: pd.DataFrame = field(default_factory=pd.DataFrame)
    confusions: pd.DataFrame = field(default_factory=pd.DataFrame)
    special: pd.DataFrame = field(default_factory=pd.DataFrame)
    rates: np.ndarray | None = None
    correlation: float | None = None
    hardest: tuple[int, ...] = ()
    easiest: tuple[int, ...] = ()
    pictures: dict[int, np.ndarray] = field(default_factory=dict)
    ious: pd.DataFrame = field(default_factory=pd.DataFrame)
    masks: dict[int, Masks] = field(default_factory=dict)
    machine: str = ""

    @property
    def pixelwise(self) -> bool:
        """Whether the network classifies each pixel."""
        return bool(self.masks)

    @property
    def prior(self) -> tuple[float, float]:
        """The Beta prior that is drawn with the gates: the network's own, or the paper's."""
        return self.context.prior or PRIOR


def analyse(
    artifact: Artifact,
    images: Source,
    context: Context,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    threads: int = 1,
    workers: int = 2,
    progress: Progress = lambda what, done, of: None,
) -> Findings:
    """Measure everything that a report shows.

    Args:
        artifact: the network.
        images: what to measure it on.
        context: what else is known.
        thresholds: other thresholds to measure.
        threads: threads of the engine when it is timed.
        workers: threads of the engine for everything else.
        progress: called with what is being done.

    Raises:
        InputError, RunError: see `observe`.
    """
    seen = observe(artifact, images, threads=workers, progress=progress)
    progress("timing the engine", 0, 1)
    timed, _ = images.take(_spread(len(images), TIMED))
    speed = measure_speed(artifact, timed, thresholds_of(artifact.program, thresholds), threads)
    blocks = block_table(artifact, timed[:PROFILED], threads)
    progress("timing the engine", 1, 1)
    points = measure_thresholds(artifact, images, speed, threads=workers, progress=progress) if speed.at else []
    progress("laying out the map", 0, 1)
    mapped = gate_map(seen)
    progress("laying out the map", 1, 1)
    gates = gate_table(seen)
    labelled = _of_classes(seen, gates) if seen.labels is not None else {}
    return Findings(
        context=context,
        artifact=artifact,
        seen=seen,
        speed=speed,
        points=points,
        own=own_threshold(artifact.program),
        gates=gates,
        layers=layer_table(gates),
        blocks=blocks,
        by_cost=accuracy_by_cost(seen),
        map=mapped,
        agreeing=agreeing_gates(seen, gates),
        correlation=None if seen.dense_loss is None else rank_correlation(seen.macs, seen.dense_loss),
        **_shown(artifact, seen, images, labelled.get("special")),
        ious=pd.DataFrame() if seen.pixels is None else iou_table(seen.pixels, seen.classes),
        machine=re.sub(r"^(\d+ )+", "", processor()),
        **labelled,
    )


def _of_classes(seen: Observed, gates: pd.DataFrame) -> dict[str, Any]:
    """What can be said where images have labels."""
    special = specialists(seen, gates, SHOWN)
    special["images"] = [opening_images(seen, gate, OPENING).tolist() for gate in special["number"]]
    return {
        "classes": class_table(seen),
        "confusions": confusions(seen),
        "special": special,
        "rates": class_rates(seen),
    }


def _shown(artifact: Artifact, seen: Observed, images: Source, special: pd.DataFrame | None) -> dict[str, Any]:
    """The images of the galleries, and those that open special gates."""
    count = min(SHOWN, max(1, len(seen) // 2))
    most, least = hardest(seen, count).tolist(), easiest(seen, count if len(seen) > 1 else 0).tolist()
    opening = [] if special is None else [number for row in special["images"] for number in row]
    needed = sorted({*most, *least, *opening})
    inputs, labels = images.take(needed)
    pictures = dict(zip(needed, inputs, strict=True))
    masks = dict(zip(needed, _masks(artifact, inputs, labels), strict=False))  # all or none
    return {"hardest": tuple(most), "easiest": tuple(least), "pictures": pictures, "masks": masks}


def _masks(artifact: Artifact, inputs: np.ndarray, labels: np.ndarray | None) -> list[Masks]:
    """Those of each image; none where a network answers for whole images."""
    if all(len(artifact.program.shape(output)) == 1 for output in artifact.program.outputs.values()):
        return []
    session = Session(artifact)
    answers = [session.run(inputs[i : i + 1]).output.argmax(1)[0] for i in range(len(inputs))]
    return list(zip([None] * len(answers) if labels is None else labels, answers, strict=True))


def _spread(total: int, count: int) -> list[int]:
    count = min(count, total)
    return [i * total // count for i in range(count)]
