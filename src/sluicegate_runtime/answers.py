"""From a program's output to an answer: a class, or a class for each pixel.

Legend: K classes, h w pixels of the program's input.
"""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .masks import MAX_CLASSES, save_mask
from .program import Program


class Answer(ABC):
    """Turns an output into the answer for an image.

    Args:
        program: ends in scores; names its classes, or they are numbered.
    """

    def __init__(self, program: Program) -> None:
        (shape,) = (program.shape(output) for output in program.outputs.values())
        self.classes = program.classes or tuple(map(str, range(shape[0])))

    @abstractmethod
    def accept(self, path: str | os.PathLike[str]) -> None:
        """Check that the answer for an image can be written. InputError if not."""

    @abstractmethod
    def tell(self, output: np.ndarray, path: str | os.PathLike[str]) -> dict[str, Any]:
        """The answer for the image at `path`, as plain values."""


class OneClass(Answer):
    """The likeliest class of scores [K]: `class` and `probability`."""

    def accept(self, path: str | os.PathLike[str]) -> None:
        return None

    def tell(self, output: np.ndarray, path: str | os.PathLike[str]) -> dict[str, Any]:
        probabilities = _softmax(output)
        best = int(probabilities.argmax())
        return {"class": self.classes[best], "probability": round(float(probabilities[best]), 6)}


class Mask(Answer):
    """The likeliest class of each pixel of scores [K, h, w], as a PNG file: `mask`, and `classes`, the share of the
    pixels that each class has, the largest first.

    Args:
        folder: where masks are written, under the images' names.
    """

    def __init__(self, program: Program, folder: Path) -> None:
        super().__init__(program)
        if len(self.classes) > MAX_CLASSES:
            raise InputError(f"predict: {len(self.classes)} classes, but a mask holds {MAX_CLASSES} at most")
        self.folder, self.taken = folder, dict[Path, str]()

    def accept(self, path: str | os.PathLike[str]) -> None:
        file = self._file(path)
        if file.resolve() == Path(path).resolve():
            raise InputError(f"image: {os.fspath(path)} would be overwritten by its mask; choose another --masks")
        if self.taken.setdefault(file, os.fspath(path)) != os.fspath(path):
            raise InputError(f"image: {os.fspath(path)} has the name of {self.taken[file]}, whose mask is {file}")

    def tell(self, output: np.ndarray, path: str | os.PathLike[str]) -> dict[str, Any]:
        mask = output.argmax(0)
        save_mask(self._file(path), mask)
        shares = np.bincount(mask.ravel(), minlength=len(self.classes)) / mask.size
        order = [number for number in np.argsort(-shares, kind="stable").tolist() if shares[number]]
        found = {self.classes[number]: round(float(shares[number]), 6) for number in order}
        return {"mask": str(self._file(path)), "classes": found}

    def _file(self, path: str | os.PathLike[str]) -> Path:
        return self.folder / f"{Path(path).stem}.png"


def answer_of(program: Program, masks: str | os.PathLike[str]) -> Answer:
    """What a program's output means. InputError if it is neither scores [K] nor maps of scores [K, h, w]."""
    shapes = [program.shape(output) for output in program.outputs.values()]
    if len(shapes) == 1 and len(shapes[0]) == 1:
        return OneClass(program)
    if len(shapes) == 1 and shapes[0][0] > 1 and shapes[0][1:] == program.shape(program.input)[1:]:
        return Mask(program, Path(masks))
    found = ", ".join(map(str, shapes[:3]))
    raise InputError(
        f"predict: the program's output is {found}, not one of shape (K,) or (K, h, w) with the sides of its input: "
        "it is no classifier, of images or of pixels"
    )


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return powers / powers.sum()
