r"""Objectives that push every gate to close, without a target.

Legend: N images, G gates of a site, K gates of all sites.

    GateL0    sum_k sigmoid(logit_k)    batch shaping eq. 5: the expected L0 norm (Louizos et al. 2018), unstretched
    GateL1    ||G(x)||_1 / K            GaterNet section 3.2.2

Both are linear in the images: the mean over the processes of each one's mean is that over the global batch.
"""

from torch import Tensor

from sluicegate.gates import GateRecords, SiteKind
from sluicegate.objectives.objective import Objective
from sluicegate.objectives.reduction import Reduction, checked_reduction, records_of, reduce_gates


class GateL0(Objective):
    """The probability with which gates are open, mean over images: batch shaping's complexity loss, eq. 5.

    Args:
        kind: the kind of sites it applies to; None for all.
        reduction: see `reduction.py`; the paper prints "sum".
    """

    def __init__(self, kind: SiteKind | None = "channel", reduction: Reduction = "mean") -> None:
        super().__init__()
        self.kind: SiteKind | None = kind
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return reduce_gates([r.logits.sigmoid().mean(0) for r in records_of(gates, self.kind)], self.reduction)


class GateL1(Objective):
    """The mean of the sampled gates over images, soft if the estimator is soft: GaterNet's sparsity.

    Args:
        kind: the kind of sites it applies to; None for all.
        reduction: see `reduction.py`; the paper prints "mean".
    """

    def __init__(self, kind: SiteKind | None = None, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.kind: SiteKind | None = kind
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return reduce_gates([r.open.mean(0) for r in records_of(gates, self.kind)], self.reduction)
