"""Inputs of a network, and its answers for pixels, as pictures in a page. Legend: C channels, H W pixels."""

import base64
import io

import numpy as np
from PIL import Image

from sluicegate.analysis.scenes import VOID
from sluicegate_runtime import Program, palette

LARGEST = 96  # pixels of the longest side
OF_SCENES = 200  # and of images with masks


def picture(image: np.ndarray, program: Program, largest: int = LARGEST) -> str | None:
    """An input [C, H, W] as a `data:` address; None if its channels are no colours.

    Small images stay as they are, as PNG; larger ones are made smaller, as JPEG.
    """
    pixels = _pixels(image, program)
    if pixels is None:
        return None
    shown = Image.fromarray(pixels)
    large = max(shown.size) > largest
    shown.thumbnail((largest, largest))
    return _address(shown, "JPEG" if large else "PNG")


def mask_picture(mask: np.ndarray, classes: int) -> str:
    """A mask [H, W] as a `data:` address, in the colours of `class_colours`; void is black."""
    colours = np.zeros((VOID + 1, 3), np.uint8)
    colours[:classes] = class_colours(classes)
    shown = Image.fromarray(colours[np.minimum(mask, VOID)])
    shown.thumbnail((OF_SCENES, OF_SCENES), Image.Resampling.NEAREST)
    return _address(shown, "PNG")


def class_colours(classes: int) -> np.ndarray:
    """[K, 3]: those of PASCAL VOC from its second on, as its first is black."""
    return palette(classes + 1)[1:]


def _address(shown: Image.Image, kind: str) -> str:
    content = io.BytesIO()
    shown.save(content, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"


def _pixels(image: np.ndarray, program: Program) -> np.ndarray | None:
    """uint8 [H, W] or [H, W, 3]; where it is not known how images were prepared, the darkest pixel is black."""
    channels = len(image)
    if channels not in (1, 3):
        return None
    how = program.preprocessing
    if how is not None:
        mean, std = (np.array(figures or (plain,) * channels) for figures, plain in ((how.mean, 0.0), (how.std, 1.0)))
        shares = image * std[:, None, None] + mean[:, None, None]
    else:
        shares = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    pixels = np.clip(np.rint(shares * 255), 0, 255).astype(np.uint8)
    return pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
