"""Inputs of a network as pictures in a page. Legend: C channels, H W pixels."""

import base64
import io

import numpy as np
from PIL import Image

from sluicegate_runtime import Program

LARGEST = 96  # pixels of the longest side


def picture(image: np.ndarray, program: Program) -> str | None:
    """An input [C, H, W] as a `data:` address; None where its channels are no colours.

    Small images stay as they are, as PNG; larger ones are made smaller, as JPEG.
    """
    pixels = _pixels(image, program)
    if pixels is None:
        return None
    shown = Image.fromarray(pixels)
    large = max(shown.size) > LARGEST
    shown.thumbnail((LARGEST, LARGEST))
    kind = "JPEG" if large else "PNG"
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
