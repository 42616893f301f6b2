"""What comes of runs: files for the engine and their milliseconds.

Legend: N images, C channels, H W pixels.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sluicegate.convert import GatedModel
from sluicegate.data import Images, Normalize
from sluicegate.errors import InputError
from sluicegate.gates import Threshold
from sluicegate.train.build import load_split
from sluicegate.train.exporting import export_net
from sluicegate.train.folder import read_run_recipe, read_run_spec
from sluicegate.train.run import load_run
from sluicegate_runtime import Session, time_sessions

TIMED = 100  # images that the engine is timed with, or fewer where they are large:
_TIMED_VALUES = 50_000_000  # that they have together


def export_run(folder: Path, file: Path, weights: Path | None = None, threshold: float | None = None) -> Path:
    """Write a run's network as a file for the engine; the data set is not needed.

    Args:
        folder: the run; `weights` are those of `load_run`.
        file: where to.
        threshold: a gate of the file is open where its probability is above; 0.5 if None.

    Raises:
        InputError, RunError: see `load_run` and `export_net`; or there are no gates that could have a threshold.
    """
    net = load_run(folder, weights)[1]
    if threshold is not None:
        if not isinstance(net, GatedModel):
            raise InputError(f"threshold: {threshold:g} is given, but the run in {str(folder)!r} has no gates")
        net.strategy = Threshold(threshold)
    return export_net(net, read_run_spec(folder), file)


def timed_pixels(images: Images) -> np.ndarray:
    """[N, C, H, W] float32: the first images as a network takes them."""
    first, _ = next(iter(images.batches(max(1, min(TIMED, _TIMED_VALUES // math.prod(images.shape))))))
    return Normalize(images.mean, images.std)(first).numpy()


def engine_milliseconds(folders: Mapping[str, Path]) -> dict[str, float]:
    """What one image takes in the engine on one thread, by run; all are of the same data set. Their files stay in the
    run folders, as `model.sluice`."""
    images = load_split(read_run_recipe(next(iter(folders.values()))).data, "test", None)
    files = {name: export_run(folder, folder / "model.sluice") for name, folder in folders.items()}
    return time_sessions({name: Session(file, threads=1) for name, file in files.items()}, timed_pixels(images))
