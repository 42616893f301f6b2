r"""Batch shaping: match the values of a feature over a batch to a distribution.

Legend: N images of the global batch, K gates of all sites.

Ehteshami Bejnordi, Blankevoort, Welling: Batch-Shaping for Learning Conditional Channel Gated Networks, ICLR 2020.
Eq. 2 is a Cramer-von-Mises distance between a distribution F and the N sorted values x*_1 <= ... <= x*_N:

    S(x*) = 1/N sum_i (i / (N + 1) - F(x*_i))^2
    dS/dx*_i = -2/N (i / (N + 1) - F(x*_i)) f(x*_i),  moved back to the place of x*_i before sorting (appendix A)

Appendix A leaves out 1/N in both. docs/ambiguities.md measures the effect, and says which value is shaped, where the
paper says "gating output".
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates import GateRecords, SiteKind
from sluicegate.noise import draw_uniform
from sluicegate.objectives.distributions import Beta, Distribution
from sluicegate.objectives.objective import Objective, gather_batch
from sluicegate.objectives.reduction import Reduction, checked_reduction, records_of, reduce_gates

Shaped = Literal["probability", "sample"]


def batch_shaping(x: Tensor, prior: Distribution) -> Tensor:
    """How far each feature of a batch is from a distribution (eq. 2 with lambda = 1).

    It works for any feature of any network: each row is a sample, and each column is a feature. To treat the pixels of
    a map as samples of its channel: `x.movedim(1, -1).flatten(0, -2)`.

    Args:
        x: [N, ...], floating; with several processes the rows of all of them are the batch.
        prior: F.

    Returns:
        [...], in [0, 1], differentiable once. In float32 where x is of half precision.

    Raises:
        InputError: x has no rows, or is not of a floating dtype.
    """
    if not x.is_floating_point():
        raise InputError(f"x: {x.dtype} is not a floating dtype")
    if x.dim() == 0 or len(x) == 0:
        raise InputError(f"x: shape {tuple(x.shape)} has no batch; it must be (N, ...) with N > 0")
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return _CramerVonMises.apply(gather_batch(x), prior)  # pyright: ignore[reportReturnType]


class _CramerVonMises(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, prior: Distribution) -> Tensor:
        ordered, place = x.sort(dim=0)  # [N, ...]
        ranks = torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device) / (len(x) + 1)
        gap = ranks.view(-1, *[1] * (x.dim() - 1)) - prior.below(ordered)
        ctx.save_for_backward(gap * prior.density(ordered) * (-2 / len(x)), place)
        return gap.square().mean(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        slope, place = ctx.saved_tensors
        return torch.empty_like(slope).scatter_(0, place, slope * grads[0]), None


class BatchShaping(Objective):
    """`batch_shaping` of every gate.

    Args:
        prior: the distribution that each gate's values over a batch should have; None: the paper's Beta(0.6, 0.4).
        shaped: which values. `probability`: sigmoid(logit), without noise; `sample`: the relaxed sample
            sigmoid((logit + L) / temperature), L ~ Logistic(0, 1), drawn anew.
        temperature: of the relaxed sample.
        kind: the kind of sites it applies to; None for all.
        reduction: see `reduction.py`.
    """

    def __init__(
        self,
        prior: Distribution | None = None,
        shaped: Shaped = "probability",
        temperature: float = 2 / 3,
        kind: SiteKind | None = "channel",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if shaped not in get_args(Shaped):
            raise InputError(f"shaped: {shaped!r} must be one of {', '.join(get_args(Shaped))}")
        if not temperature > 0:
            raise InputError(f"temperature: {temperature} must be greater than 0")
        self.prior = Beta(0.6, 0.4) if prior is None else prior
        self.shaped: Shaped = shaped
        self.temperature = temperature
        self.kind: SiteKind | None = kind
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        records = records_of(gates, self.kind)
        logits = torch.cat([record.logits for record in records], dim=1)  # [N, K]
        per_gate = batch_shaping(self.values(logits), self.prior)  # [K]
        return reduce_gates(per_gate.split([record.logits.shape[1] for record in records]), self.reduction)

    def values(self, logits: Tensor) -> Tensor:
        """[N, K] logits -> [N, K], what is shaped."""
        if self.shaped == "probability":
            return logits.sigmoid()
        return ((logits + draw_uniform(logits).logit()) / self.temperature).sigmoid()
