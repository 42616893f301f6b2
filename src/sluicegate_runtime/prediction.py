"""Images in, one JSON object a line out: `predict model.sluice IMAGE...`.

    {"file": "cat.png", "class": "cat", "probability": 0.93, "macs": 22184576, "ms": 0.41, "open_rate": 0.52}

of a program that gives each pixel a class:

    {"file": "street.png", "mask": "masks/street.png", "classes": {"road": 0.43, "sky": 0.3}, "macs": ...}

The file has the preprocessing and the class names, so an image is enough. A file without preprocessing is refused
unless the caller gives one, because raw pixels would silently give wrong answers. An image that cannot be read is named
on standard error, and the others are answered.
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
    """Classify image files, or their pixels, one after another.

    Args:
        session: its program ends in one score per class, [K], or in a map of them, [K, h, w].
        images: paths; see `images.read_image` for what is read.
        threshold: see `Session.run`.
        preprocessing: what is done to pixels; what the file says if None.
        on_refusal: called with the error of each image that cannot be read, which is then skipped; None: the first
            error is raised.
        masks: the folder that masks are written to, as PNG files with a palette, in the size of the program's input.

    Returns:
        For each image a dictionary with `file`, `macs` (executed), `ms` (in the engine, without reading and preparing)
        and `open_rate` (share of all gates that were open; None without gates). A classifier adds `class` (the name, or
        the number as text if the program has no names) and `probability`. A segmentation network adds `mask` (the file)
        and `classes` (share of pixels by class).

    Raises:
        InputError: the program is no classifier, it has no preprocessing, or a file is not an image.
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
    session.run(nothing, threshold)  # warms up threads and caches, so that `ms` is right
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
        raise RunError(
            "predict: the network's scores are not finite; its weights are damaged, or its training diverged"
        )
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
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine")
    parser.add_argument(
        "--threshold", type=float, help="probability in [0, 1] above which a gate is open; default: as in the file"
    )
    parser.add_argument(
        "--masks", type=Path, default=Path("masks"), help="folder for the masks of a segmentation network"
    )
    parser.add_argument("--preprocessing", help="none, imagenet or MEAN/STD; default: as the file says")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="first measure which algorithms are fastest on this machine; the result is kept",
    )
    parser.add_argument(
        "--json", action="store_true", help="has no effect: the output is always one JSON object a line"
    )


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
        warnings.filterwarnings("ignore", module="PIL")  # about unusual camera notes, which do not matter here
        given = (options.threshold, preprocessing, pass_over, options.masks)
        for found in predict(session, options.images, *given):
            print(json.dumps(found), flush=True)
    return 2 if refused else 0
