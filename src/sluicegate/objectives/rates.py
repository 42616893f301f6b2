r"""Objectives on the rate at which each gate is open.

Legend: N images, G gates of a site, L sites, K gates of all sites, z the share of a batch's images for which a gate
is open.

    TargetRate      sum_l (z_l - t_l)^2        ConvNet-AIG, as DLCG eq. 2 prints it
    SquaredRates    sum_l z_l^2                DLCG eq. 4 (layers)
                    sum_f z_f^2                DLCG eq. 5 (channels; f runs over all K filters)

Eq. 5 as printed, with 336 filters and Table 1's channel weights, is some 15 to 40 at the start, beside a cross
entropy of 2.3. `reduction` says what is summed and what is averaged (reduction.py); docs/dlcg.md shows what each
reading trains to.

On several processes z is the rate over the global batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sluicegate.gates import GateRecord, GateRecords, SiteKind
from sluicegate.objectives.objective import Objective, batch_rate
from sluicegate.objectives.reduction import Reduction, checked_reduction, records_of, reduce_gates
from sluicegate.objectives.targets import SiteTarget, SiteTargets


class SquaredRates(Objective):
    """Squares of rates: the target-free sparsity of DLCG, eq. 4 (`kind="layer"`) and eq. 5 (`kind="channel"`).

    Args:
        kind: the kind of sites it applies to.
        reduction: see `reduction.py`.
    """

    def __init__(self, kind: SiteKind, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.kind: SiteKind = kind
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return reduce_gates([z.square() for z in _rates(records_of(gates, self.kind))], self.reduction)


class TargetRate(Objective):
    """Squared distance of each gate's rate from a target: ConvNet-AIG, DLCG eq. 2.

    Args:
        target: t in [0, 1], for all sites or by site name (sites that are not named have none).
        kind: the kind of sites it applies to.
        reduction: see `reduction.py`.
    """

    def __init__(self, target: SiteTarget, kind: SiteKind = "layer", reduction: Reduction = "sum") -> None:
        super().__init__()
        self.targets = SiteTargets(target)
        self.kind: SiteKind = kind
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        records = records_of(gates, self.kind)
        targets = self.targets.at(progress, records)
        rates = _rates([gates[name] for name in targets])
        return reduce_gates([(z - t).square() for z, t in zip(rates, targets.values(), strict=True)], self.reduction)


def _rates(records: Sequence[GateRecord]) -> tuple[Tensor, ...]:
    """z of each site, [G]; all in one mean, and so one message between processes."""
    rates = batch_rate(torch.cat([r.open for r in records], dim=1))
    return rates.split([r.site.gates for r in records])
