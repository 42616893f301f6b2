"""How long a `.sluice` file takes: gated and dense in this engine, dense in every other one that is installed.

    realised saving = (1 - time / dense time) / (1 - MACs / dense MACs)

where dense is the same network without its gates, in this engine, on the same images. The saving is computed for each
call, and the median over calls is reported. Other times are medians over calls in turns (`sluicegate_runtime.timing`),
other MACs are means.

Shapes: images [N, C, H, W] float32.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sluicegate.analysis.peers import PEERS_F32, dense_peers
from sluicegate.analysis.peers import versions as peer_versions
from sluicegate.errors import InputError, SluicegateError, one_line
from sluicegate.files import whole_file
from sluicegate.lowering import lift, lower
from sluicegate.recipes import recipe
from sluicegate.train import DataRecipe, build_subject, load_split, provenance, read_run_recipe
from sluicegate.train.exporting import export_net
from sluicegate.train.products import TIMED, export_run, timed_pixels
from sluicegate_runtime import (
    LatencyTable,
    Preprocessing,
    Program,
    Session,
    benchmark,
    load_program,
    measure_latency,
    without_gates,
)
from sluicegate_runtime.images import read_image
from sluicegate_runtime.preprocess import prepare

GATED, DENSE = "ours gated", "ours dense"


@dataclass(frozen=True)
class Timing:
    """One contender.

    Attributes:
        name: who.
        median_ms, best_ms: milliseconds of a call.
        over_fastest_peer: median over that of the fastest float32 peer.
        macs: of an image, the mean.
        realised_saving: of the gated network; None if gates save no MACs.
        error: largest difference from PyTorch's outputs, relative to the largest output; None for the gated network,
            whose outputs are not comparable.
    """

    name: str
    median_ms: float
    best_ms: float
    over_fastest_peer: float
    macs: float
    realised_saving: float | None = None
    error: float | None = None


class Comparison(NamedTuple):
    """The timings, and for each engine that was not timed the reason."""

    timings: list[Timing]
    left_out: dict[str, str]


def as_file(model: str, folder: Path, data_dir: Path | None = None) -> tuple[Path, DataRecipe | None]:
    """A `.sluice` file: as it is, or of a run, or of a recipe's untrained network; these have a data set, too.

    Args:
        model: the file, a run folder, or a recipe (see `recipe`).
        folder: where to write the file.
        data_dir: of a recipe's data set, which says how large its images are and how many classes there are; a run
            folder knows.

    Raises:
        InputError: it is none of these, or the engine has no op for a part of the network.
    """
    wanted, file = Path(model), folder / "model.sluice"
    if wanted.is_dir():
        return export_run(wanted, file), read_run_recipe(wanted).data
    if wanted.suffix == ".sluice":
        return wanted, None
    begun = recipe(model)
    spec = load_split(begun.data, "test", data_dir).spec
    return export_net(build_subject(begun, spec, read_files=False).net, spec, file), begun.data


def what_to_time(
    file: Path,
    photos: Sequence[Path],
    data: DataRecipe | None = None,
    data_dir: Path | None = None,
    preprocessing: Preprocessing | None = None,
) -> tuple[np.ndarray, str]:
    """Images [N, C, H, W] as a file's network takes them, and what they are: image files, or else the first test images
    of a data set where it is at hand, or else noise.

    Raises:
        InputError: the file or a photo cannot be read, or how photos are prepared is unknown; or `data_dir` is given
            and holds no such data set.
    """
    program = load_program(file).program
    if photos:
        pixels = [_prepared(one, program, preprocessing) for one in photos]
        return np.stack(pixels), f"{len(photos)} image files"
    why = "name image files, for gates as these open them"
    if data is not None:
        try:
            pixels = timed_pixels(load_split(data, "test", data_dir))
            return pixels, f"{len(pixels)} test images"
        except SluicegateError as error:
            if data_dir is not None:
                raise
            why = one_line(error, limit=120)
    shape = program.shape(program.input)
    noise = np.random.default_rng(0).standard_normal((TIMED, *shape), np.float32)
    return noise, f"{TIMED} images of noise ({why})"


def _prepared(photo: Path, program: Program, preprocessing: Preprocessing | None) -> np.ndarray:
    pixels = read_image(photo)
    try:
        return prepare(pixels, program, preprocessing)
    except InputError as error:
        raise InputError(f"image: {photo}: {error}") from error


def compare(
    file: Path, images: np.ndarray, threads: int = 2, batch_size: int = 1, repeats: int = 100, tune: bool = False
) -> Comparison:
    """Time a file's network, gated (where it has gates) and dense, against every peer.

    Args:
        file: a `.sluice` file.
        images: images to run, `batch_size` at a time, starting again from the first at the end; int8 is calibrated on
            them.
        threads: of each engine.
        batch_size: images in one call.
        repeats: timed calls of each engine.
        tune: see `Session`.

    Raises:
        InputError: the file cannot be read, or there are fewer images than `batch_size`.
    """
    if not 1 <= batch_size <= len(images):
        raise InputError(f"batch_size: {batch_size} is not in 1..{len(images)}, the number of images")
    artifact = load_program(file)
    batches = [images[i : i + batch_size] for i in range(0, len(images) - batch_size + 1, batch_size)]
    plain = lift(without_gates(artifact))
    example = torch.from_numpy(batches[0])
    dense = Session(lower(plain, example[:1]).artifact, threads, tune)
    sessions = {DENSE: dense}
    if any(value.kind == "gate" for value in artifact.program.values):
        sessions = {GATED: Session(file, threads, tune), **sessions}
    macs = {name: [float(session.run(batch).macs.mean()) for batch in batches] for name, session in sessions.items()}
    ours = {name: partial(_output, session) for name, session in sessions.items()}
    peers = dense_peers(plain, example, threads, torch.from_numpy(images))
    contenders = {**ours, **peers.ready}
    seconds = benchmark(contenders, batches, repeats)
    errors = _errors(contenders, batches[0])
    return Comparison([_timing(name, seconds, macs, errors) for name in contenders], peers.left_out)


def realised_saving(
    seconds: Sequence[float], dense_seconds: Sequence[float], macs: Sequence[float], dense_macs: float
) -> float | None:
    """(1 - time / dense time) / (1 - MACs / dense MACs), the median over the calls whose gates save MACs; None where
    none does. Each call is held against its own MACs: those of layer gates come in a few steps, between which the
    median time of other images may lie.

    Args:
        seconds, dense_seconds: of each call, with and without gates, on the same images.
        macs: with gates, of each batch: call i ran batch i, and the first again after the last.
        dense_macs: of any batch without gates.
    """
    calls = zip(seconds, dense_seconds, of_calls(macs, len(seconds)), strict=True)
    savings = [(1 - one / dense) / (1 - done / dense_macs) for one, dense, done in calls if done < dense_macs]
    return statistics.median(savings) if savings else None


def of_calls(batches: Sequence[float], calls: int) -> list[float]:
    """What is known of each batch, for each of the calls that ran them in turn."""
    return list(itertools.islice(itertools.cycle(batches), calls))


def predicted(file: Path, images: np.ndarray, table: LatencyTable, threads: int = 2, tune: bool = False) -> float:
    """The time that a latency table predicts for a file on these images: milliseconds of one image, the median.

    Raises:
        InputError: the table is of another program, machine or number of threads.
    """
    session = Session(file, threads, tune)
    table.check(session)
    return float(np.median(table.milliseconds(session.run(images).gates)))


def save_latency_table(file: Path, output: Path, threads: int = 2, tune: bool = False) -> LatencyTable:
    """Measure the latency table of a file's program and write it as JSON.

    Raises:
        InputError: see `measure_latency`; or `output` cannot be written, which is known before it is measured.
    """
    with whole_file(output) as part:
        table = replace(measure_latency(load_program(file), threads, tune), came_from=provenance.provenance())
        part.write_text(table.to_json() + "\n", encoding="utf-8")
    return table


def came_from() -> dict[str, Any]:
    """The provenance of times: with the peers' versions."""
    found = provenance.provenance()
    return found | {"versions": found["versions"] | peer_versions()}


def _output(session: Session, images: np.ndarray) -> np.ndarray:
    return session.run(images).output


def _errors(contenders: Mapping[str, Callable[[np.ndarray], np.ndarray]], batch: np.ndarray) -> dict[str, float]:
    wanted = contenders["torch eager"](batch)
    scale = np.abs(wanted).max()
    return {name: float(np.abs(run(batch) - wanted).max() / scale) for name, run in contenders.items() if name != GATED}


def _timing(
    name: str, seconds: Mapping[str, list[float]], macs: Mapping[str, list[float]], errors: Mapping[str, float]
) -> Timing:
    median = {one: statistics.median(taken) for one, taken in seconds.items()}
    fastest = min(median[peer] for peer in PEERS_F32 if peer in median)
    mine = macs.get(name, macs[DENSE])
    return Timing(
        name=name,
        median_ms=1e3 * median[name],
        best_ms=1e3 * min(seconds[name]),
        over_fastest_peer=median[name] / fastest,
        macs=statistics.mean(of_calls(mine, len(seconds[name]))),
        realised_saving=realised_saving(seconds[name], seconds[DENSE], mine, macs[DENSE][0]),
        error=errors.get(name),
    )
