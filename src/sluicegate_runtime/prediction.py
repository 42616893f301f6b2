"""Images in, one JSON object a line out: `predict model.sluice IMAGE...`.

    {"file": "cat.png", "class": "cat", "probability": 0.93, "macs": 22184576, "ms": 0.41, "open_rate": 0.52}

of a program that gives each pixel a class:

    {"file": "street.png", "mask": "masks/street.png", "classes": {"road": 0.43, "sky": 0.3}, "macs": ...}

An image is all it needs: preprocessing and class names travel in the file. A file that does not say how its images are
prepared is refused, unless the caller says it: raw pixels would give an answer, and a wrong one. An image that cannot
be read is named on standard error, and the rest are answered.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .answers import answer_of
from .command import complain
from .errors import InputError, RunError
from .images import read_image
from .preprocess import parse_preprocessing, prepare, preprocessing_of
from .program import Preprocessing, Program
from .session import Session


def predict(
    session: Session,
    images: Iterable[str | os.PathLike[str]],
    threshold: float | None = None,
    preprocessing: Preprocessing | None = None,
    on_refusal: Callable[[InputError], None] | None = None,
    masks: str | os.PathLike[str] = "masks",
) -> Iterator[dict[str, Any]]:
    """What a classifier, of images or of pixels, says of image files, one after another.

    Args:
        session: its program ends in one score per class, [K], or in a map of them, [K, h, w].
        images: paths; see `images.read_image` for what is read.
        threshold: see `Session.run`.
        preprocessing: what is done to pixels; what the file says if None.
        on_refusal: told of each image that cannot be read, which is then passed over; if None, the first ends it all.
        masks: the folder that masks are written to, as PNG files with a palette, in the size of the program's input.

    Returns:
        For each image `file`, what its scores say (`class`, by its name, or its number as text where the program names
        none, and `probability`; or `mask`, the file, and `classes`, the share of pixels by class), `macs` (executed),
        `ms` (in the engine, without reading and preparing) and `open_rate` (share of all gates that were open; None
        where there are none).

    Raises:
        InputError: the program is neither, does not say how images are prepared, or a file is no image.
        RunError: the scores of an image are not finite.

    Example:
        session = Session("pets.sluice")
        for found in predict(session, ["a.jpg", "b.jpg"]):
            print(found["file"], found["class"])
    """
    program = session.program
    answer = answer_of(program, masks)
    how = preprocessing_of(program, preprocessing)
    nothing = np.zeros((1, *program.shape(program.input)), np.float32)
    session.run(nothing, threshold)  # wakes threads and caches, for the sake of `ms`
    for path in images:
        try:
            answer.accept(path)
            image = _prepared(path, program, how)
        except InputError as error:
            if on_refusal is None:
                raise
            on_refusal(error)
        else:
            yield {"file": os.fspath(path), **_predict(session, image, threshold, partial(answer.tell, path=path))}


def _prepared(path: str | os.PathLike[str], program: Program, how: Preprocessing) -> np.ndarray:
    pixels = read_image(path)
    try:
        return prepare(pixels, program, how)
    except InputError as error:
        raise InputError(f"image: {os.fspath(path)} {str(error).removeprefix('image: ')}") from None


def _predict(
    session: Session, image: np.ndarray, threshold: float | None, tell: Callable[[np.ndarray], dict[str, Any]]
) -> dict[str, Any]:
    started = time.perf_counter()
    result = session.run(image[None], threshold)
    ms = 1e3 * (time.perf_counter() - started)
    if not np.isfinite(result.output).all():
        raise RunError("predict: the network's scores are not finite; its weights are damaged, or its training was")
    decisions = np.concatenate([flags[0] for flags in result.gates.values()] or [np.empty(0)])
    return {
        **tell(result.output[0]),
        "macs": int(result.macs[0]),
        "ms": round(ms, 3),
        "open_rate": round(float(decisions.mean()), 6) if decisions.size else None,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", type=Path, metavar="MODEL|RUN", help=".sluice file, or a run folder that holds one")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument("--threads", type=int, default=2, help="of the engine")
    parser.add_argument("--threshold", type=float, help="a gate is open where its probability is above; in [0, 1]")
    parser.add_argument("--masks", type=Path, default=Path("masks"), help="folder for masks, of a model of pixels")
    parser.add_argument("--preprocessing", help="none, imagenet or MEAN/STD; what the file says if left out")
    parser.add_argument("--tune", action="store_true", help="measure the fastest algorithms first, once a machine")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, which is what is printed anyway")


def _file(model: Path) -> Path:
    """The file of a run folder, or the file that was named."""
    return model / "model.sluice" if model.is_dir() else model


def command(options: Any) -> int:
    """Run the command: `options` has what `add_arguments` names. The exit status: 2 where an image was passed over."""
    refused: list[InputError] = []

    def pass_over(error: InputError) -> None:
        refused.append(error)
        complain(error)

    preprocessing = None if options.preprocessing is None else parse_preprocessing(options.preprocessing)
    session = Session(_file(options.model), threads=options.threads, tune=options.tune)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # on odd notes of a camera, which nobody asked for
        given = (options.threshold, preprocessing, pass_over, options.masks)
        for found in predict(session, options.images, *given):
            print(json.dumps(found), flush=True)
    return 2 if refused else 0
