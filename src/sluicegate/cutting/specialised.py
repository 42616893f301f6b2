"""The sub-network that some classes use (batch shaping, ICLR 2020, the outlook of its last sentence).

Legend: N images, K classes, G gates of a site.

Gates are observed on images of the wanted classes only. Of the result [N, K] the columns of these classes are kept, in
rising order of class.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sluicegate.convert import GatedModel
from sluicegate.costs import BY_IMAGE
from sluicegate.cutting.pruned import with_gates_left, without_gates
from sluicegate.cutting.settling import check_share, open_shares
from sluicegate.data import ImageSet, Normalize
from sluicegate.errors import InputError
from sluicegate.graph import kept_modes

_BATCH = 256


def specialise(
    gated: GatedModel, data: ImageSet, classes: Sequence[str | int], share: float = 1.0, plain: bool = False
) -> nn.Module:
    """The part of a network that images of some classes use, for these classes alone.

    Args:
        gated: it is not changed.
        data: images of these and other classes, on which gates are observed; normalised by its mean and std.
        classes: names or numbers of the classes to keep.
        share: a gate has settled if it does the same for at least this share of their images, in [0.5, 1].
        plain: fix gates that have not settled to what they do more often, so that no gate is left.

    Returns:
        A network in evaluation mode, with outputs [N, classes] in rising order of class: a `GatedModel` if gates are
        left, otherwise a plain `fx.GraphModule`.

    Raises:
        InputError: there is no such class, or no image of them; or see `settled_gates`.

    Example:
        >>> pets = sg.specialise(gated, train, ["cat", "dog"], share=0.99)
        >>> pets(images).argmax(1)  # 0 is cat, 1 is dog
    """
    numbers = numbers_of(data, classes)
    check_share(share)
    seen = open_shares(gated, images_of(data, numbers))
    settled = seen.settled(share)
    left = any((does == BY_IMAGE).any() for does in settled.values())
    if left and not plain:
        return with_gates_left(gated, settled, numbers)
    return without_gates(gated, seen.settled(0.5) if left else settled, numbers)


def open_rates(gated: GatedModel, data: ImageSet) -> dict[str, np.ndarray]:
    """How often each class opens each gate.

    Returns:
        Site -> [K, G], shares of the class's images; rows of classes without images are nan.

    Example:
        >>> open_rates(gated, test)["layer3.2.conv1"].shape
        (10, 64)
    """
    counts = {
        name: torch.zeros(len(data.classes), site.gates, dtype=torch.float64) for name, site in gated.sites.items()
    }
    normalize = Normalize(data.mean, data.std)
    with kept_modes(gated), torch.no_grad():
        gated.eval()
        for images, labels in data.batches(_BATCH):
            for name, record in gated(normalize(images), return_gates=True).gates.reached().items():
                counts[name].index_add_(0, labels, record.open.double())
    seen = torch.bincount(data.labels, minlength=len(data.classes))[:, None]
    return {name: (count / seen).numpy() for name, count in counts.items()}


def used_only_by(rates: Mapping[str, np.ndarray], classes: Sequence[int], share: float = 0.99) -> dict[str, np.ndarray]:
    """Which gates only these classes open: site -> [G] bool.

    Args:
        rates: site -> [K, G], from `open_rates`.
        classes: numbers of the classes.
        share: every other class leaves the gate closed for at least this share of its images, and one of these classes
            does not.
    """
    inside = np.isin(np.arange(len(next(iter(rates.values())))), classes)
    rest = 1 - share
    return {
        name: np.asarray((rate[inside] > rest).any(0) & (rate[~inside] <= rest).all(0)) for name, rate in rates.items()
    }


def numbers_of(data: ImageSet, classes: Sequence[str | int]) -> list[int]:
    """Classes by number, in rising order.

    Raises:
        InputError: there is none, one is unknown, or one is named twice.
    """
    known = {name: number for number, name in enumerate(data.classes)}
    found = [known.get(one, -1) if isinstance(one, str) else one for one in classes]
    for one, number in zip(classes, found, strict=True):
        if not 0 <= number < len(known):
            raise InputError(f"classes: {one!r} is none of {', '.join(known)}")
    if not found or len(set(found)) < len(found):
        raise InputError(f"classes: {list(classes)} must name one class at least, and each once")
    return sorted(found)


def images_of(data: ImageSet, classes: Sequence[int]) -> Iterator[Tensor]:
    """The images of some classes, normalised, in batches."""
    wanted = torch.isin(data.labels, torch.tensor(classes, device=data.labels.device)).nonzero()[:, 0]
    if not len(wanted):
        raise InputError(f"images: none of the classes {list(classes)}")
    normalize = Normalize(data.mean, data.std)
    return (normalize(images) for images, _ in data.subset(wanted).batches(_BATCH))
