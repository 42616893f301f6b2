r"""Objectives on the rate at which each gate is open.

Legend: N images, G gates of a site, L sites, K gates of all sites, z the share of a batch's images for which a gate
is open.

    TargetRate      sum_l (z_l - t_l)^2        ConvNet-AIG, as DLCG eq. 2 prints it
    SquaredRates    sum_l z_l^2                DLCG eq. 4 (layers)
                    sum_f z_f^2                DLCG eq. 5 (channels; f runs over all K filters)

Eq. 5 as printed, with 336 filters and Table 1's channel weights, is some 15 to 40 at the start, beside a cross
entropy of 2.3. `reduction` says what is summed and what is averaged; docs/dlcg.md shows what each reading trains to.

    sum         over every gate of every site, as printed
    site_mean   mean over the gates of a site, sum over sites
    mean        mean over all K gates

On several processes z is the rate over the global batch.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords, SiteKind
from sluicegate.objectives.objective import Objective, batch_rate

Reduction = Literal["sum", "site_mean", "mean"]


class SquaredRates(Objective):
    """Squares of rates: the target-free sparsity of DLCG, eq. 4 (`kind="layer"`) and eq. 5 (`kind="channel"`).

    Args:
        kind: the sites that it speaks of.
        reduction: see the file's head.
    """

    def __init__(self, kind: SiteKind, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.kind: SiteKind = kind
        self.reduction: Reduction = _known(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return _reduce([batch_rate(r.open).square() for r in _of_kind(gates, self.kind)], self.reduction)


class TargetRate(Objective):
    """Squared distance of each gate's rate from a target: ConvNet-AIG, DLCG eq. 2.

    Args:
        target: t in [0, 1], for all sites or by site name (sites that are not named have none).
        kind: the sites that it speaks of.
        reduction: see the file's head.
    """

    def __init__(
        self, target: float | Mapping[str, float], kind: SiteKind = "layer", reduction: Reduction = "sum"
    ) -> None:
        super().__init__()
        for value in target.values() if isinstance(target, Mapping) else [target]:
            if not 0 <= value <= 1:
                raise InputError(f"target: {value} must lie between 0 and 1")
        self.target = target
        self.kind: SiteKind = kind
        self.reduction: Reduction = _known(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        records = _of_kind(gates, self.kind)
        if isinstance(self.target, Mapping):
            targets = self.target
            unknown = sorted(set(targets) - {r.site.name for r in records})
            if unknown:
                raise InputError(f"target: {unknown[0]!r} is not a {self.kind} site of the network")
            return _reduce(
                [(batch_rate(r.open) - targets[r.site.name]).square() for r in records if r.site.name in targets],
                self.reduction,
            )
        return _reduce([(batch_rate(r.open) - self.target).square() for r in records], self.reduction)


def _of_kind(gates: GateRecords, kind: SiteKind) -> list[GateRecord]:
    records = list(gates.of_kind(kind).values())
    if not records:
        raise InputError(f"kind: the network has no {kind!r} gates")
    return records


def _reduce(by_site: list[Tensor], reduction: Reduction) -> Tensor:
    """A list of [G] -> []."""
    if reduction == "site_mean":
        return torch.stack([values.mean() for values in by_site]).sum()
    values = torch.cat(by_site)
    return values.sum() if reduction == "sum" else values.mean()


def _known(reduction: Reduction) -> Reduction:
    if reduction not in get_args(Reduction):
        raise InputError(f"reduction: {reduction!r} must be one of {', '.join(get_args(Reduction))}")
    return reduction
