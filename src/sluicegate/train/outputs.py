"""Images of only some of a network's classes.

An ImageNet network on a folder of ten of its classes is trained and measured over all of its 1,000 outputs: an image is
right only if its own output is the largest of all.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from sluicegate.data import Images, ImageSet, SceneSet
from sluicegate.errors import InputError


def as_outputs(images: Images, outputs: Sequence[int], count: int) -> Images:
    """The same images, labelled by the outputs of a network that has more of them than there are classes.

    Args:
        images: of K classes.
        outputs: K of them, which output stands for each class.
        count: how many outputs the network has.

    Raises:
        InputError: images with masks, another number of outputs than of classes, one that is there twice, or one that
            is not.

    Example:
        >>> as_outputs(imagenette, (0, 217, 482, 491, 497, 566, 569, 571, 574, 701), 1000).classes[217]
    """
    if isinstance(images, SceneSet):
        raise InputError(f"data.outputs: {list(outputs)} are for images with one label, not for masks")
    if len(outputs) != len(images.classes) or len(set(outputs)) != len(outputs):
        raise InputError(
            f"data.outputs: {list(outputs)} must name another output for each of {len(images.classes)} classes"
        )
    if not all(0 <= one < count for one in outputs):
        raise InputError(f"data.outputs: {list(outputs)} must lie in 0..{count - 1}, by data.output_count")
    names = dict(zip(outputs, images.classes, strict=True))
    named = tuple(names.get(one, f"output {one}") for one in range(count))
    if isinstance(images, ImageSet):
        return replace(images, labels=torch.tensor(outputs)[images.labels], classes=named)
    listing = images.listing
    return replace(images, listing=replace(listing, labels=np.asarray(outputs)[listing.labels]), classes=named)
