"""Which gates an objective applies to, and how it sums over them.

Legend: G gates of a site, K gates of all sites.

Papers print sums over gates. With hundreds of gates and the printed weights, a sum is much larger than the task's loss
(docs/ambiguities.md). Every objective that sums over gates takes a `reduction`:

    sum         over every gate of every site, as printed
    site_mean   mean over the gates of a site, sum over sites
    mean        mean over all K gates
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords, SiteKind

Reduction = Literal["sum", "site_mean", "mean"]


def records_of(gates: GateRecords, kind: SiteKind | None) -> list[GateRecord]:
    """The records of one kind of site, or of all of them.

    Raises:
        InputError: there are none.
    """
    records = list((gates if kind is None else gates.of_kind(kind)).values())
    if not records:
        raise InputError(f"kind: the network has no {'' if kind is None else repr(kind) + ' '}gates")
    return records


def reduce_gates(by_site: Sequence[Tensor], reduction: Reduction) -> Tensor:
    """One [G] per site -> []."""
    if reduction == "site_mean":
        return torch.stack([values.mean() for values in by_site]).sum()
    values = torch.cat(list(by_site))
    return values.sum() if reduction == "sum" else values.mean()


def checked_reduction(reduction: Reduction) -> Reduction:
    """The same, if it is one.

    Raises:
        InputError: it is not.
    """
    if reduction not in get_args(Reduction):
        raise InputError(f"reduction: {reduction!r} must be one of {', '.join(get_args(Reduction))}")
    return reduction
