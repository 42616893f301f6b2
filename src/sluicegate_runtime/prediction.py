"""Images in, one JSON object a line out: `predict model.sluice IMAGE...`.

    {"file": "cat.png", "class": "cat", "probability": 0.93, "macs": 22184576, "ms": 0.41, "open_rate": 0.52}

An image is all it needs: preprocessing and class names travel in the file.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .images import read_image
from .preprocess import prepare
from .session import Session


def predict(
    session: Session, images: Iterable[str | os.PathLike[str]], threshold: float | None = None
) -> Iterator[dict[str, Any]]:
    """What a classifier says of image files, one after another.

    Args:
        session: its program ends in one score per class, [K].
        images: paths; see `images.read_image` for what is read.
        threshold: see `Session.run`.

    Returns:
        For each image `file`, `class` (its name, or its number as text where the program names none), `probability`,
        `macs` (executed), `ms` (in the engine, without reading and preparing) and `open_rate` (share of all gates that
        were open; None where there are none).

    Raises:
        InputError: the program is no classifier, or a file no image.
    """
    program = session.program
    scores = [program.shape(output) for output in program.outputs.values()]
    if len(scores) != 1 or len(scores[0]) != 1:
        found = ", ".join(map(str, scores[:3]))
        raise InputError(f"predict: the program's output is {found}, not one of shape (K,): it is no classifier")
    nothing = np.zeros((1, *program.shape(program.input)), np.float32)
    session.run(nothing)  # wakes threads and caches, for the sake of `ms`
    for path in images:
        yield {"file": os.fspath(path), **_predict(session, prepare(read_image(path), program), threshold)}


def _predict(session: Session, image: np.ndarray, threshold: float | None) -> dict[str, Any]:
    started = time.perf_counter()
    result = session.run(image[None], threshold)
    ms = 1e3 * (time.perf_counter() - started)
    probabilities = _softmax(result.output[0])
    best, classes = int(probabilities.argmax()), session.program.classes
    decisions = np.concatenate([flags[0] for flags in result.gates.values()] or [np.empty(0)])
    return {
        "class": classes[best] if classes else str(best),
        "probability": round(float(probabilities[best]), 6),
        "macs": int(result.macs[0]),
        "ms": round(ms, 3),
        "open_rate": round(float(decisions.mean()), 6) if decisions.size else None,
    }


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return powers / powers.sum()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", type=Path, help=".sluice file")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument("--threads", type=int, default=2, help="of the engine")
    parser.add_argument("--threshold", type=float, help="a gate is open where its probability is above; in [0, 1]")
    parser.add_argument("--tune", action="store_true", help="measure the fastest algorithms first, once a machine")


def command(options: Any) -> None:
    """Run the command: `options` has what `add_arguments` names."""
    session = Session(options.model, threads=options.threads, tune=options.tune)
    for prediction in predict(session, options.images, options.threshold):
        print(json.dumps(prediction), flush=True)
