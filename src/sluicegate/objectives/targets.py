r"""Targets, and objectives with one target for many gates together.

Legend: N images of the global batch, K gates of all sites, Z the gates' decisions, e exits.

Herrmann, Bowen, Zabih: An end-to-end approach for speeding up neural network inference (stochastic gates).

    BatchActivation    (t - Q)^2,  Q = 1/(N K) sum_k sum_n Z_nk                       eq. 1
    MacTarget          (t - MACs / dense MACs)^2, MACs the mean over images           section 3.4
    LatencyTarget      ((t - ms) / dense ms)^2, ms the mean over images               ours, after section 3.4
    ExitTarget         sum_e (t_e - Q_e)^2, Q_e the share of images that leave at e   sections 5 and S1.5

With `free` one side of the target costs nothing: "below" is the const-quad loss, eq. 3. For exits it is "above"
(section 5: "a quadratic before the target rate and a constant 0 after"). t is a number, a schedule (`staircase` is
section S1.1's annealing) or a `VariableTarget` (S1.2).

A squared distance holds nothing exactly: where the loss of the task pulls, a part of the distance is left. With a
`multiplier_rate` of k the distance of a rate x is

    (x - t)^2 + m (x - t),   m <- m + k (x - t) dp after each batch, dp the progress since the last one

so that m grows until x is t: the method of multipliers (M. R. Hestenes, Multiplier and Gradient Methods, 1969), with a
step of the multiplier after each batch. While a schedule still moves t, m stands still: x lags behind, and an m that
had grown meanwhile would pull x past the target. On a free side m falls, to 0 at the least.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sluicegate.costs import LatencyModel, MacModel
from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords, SiteKind
from sluicegate.objectives.objective import Objective, batch_rate
from sluicegate.objectives.reduction import records_of
from sluicegate.schedule import Schedule, parse_schedule

Side = Literal["below", "above"]


class VariableTarget(nn.Module):
    """A target that is a moving average of the rates seen so far (stochastic gates, S1.2).

    The loss of a batch uses the average of the batches before it; then the batch is added to the average, except in
    evaluation. The state is in buffers, so checkpoints contain it. Rates are those of the global batch, so all
    processes have the same state.

    Args:
        start: the first target, in [0, 1].
        decay: in (0, 1): target <- decay target + (1 - decay) rate. None: the mean of `start` and all rates since.
        restart: share of the training after which the target is set to `start` again; the paper's "for each epoch" is
            1 / epochs. None: never.
    """

    average: Tensor
    seen: Tensor
    period: Tensor

    def __init__(self, start: float, decay: float | None = None, restart: float | None = None) -> None:
        super().__init__()
        for name, value in (("decay", decay), ("restart", restart)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name}: {value} must lie between 0 and 1")
        self.start = _checked_rate("start", start)
        self.decay, self.restart = decay, restart
        self.register_buffer("average", torch.tensor(float(start)))
        self.register_buffer("seen", torch.tensor(1))
        self.register_buffer("period", torch.tensor(0))

    @torch.no_grad()
    def forward(self, rate: Tensor, progress: float) -> Tensor:
        """[] -> [], the target for this batch, which carries no gradient."""
        if self.restart is not None:
            self._restart(math.floor(progress / self.restart + 1e-9))
        target = self.average.to(rate.dtype, copy=True)
        if self.training:
            self._take_in(rate)
        return target

    def _restart(self, period: int) -> None:
        again = self.period != period
        self.average.copy_(torch.where(again, self.start, self.average))
        self.seen.copy_(torch.where(again, 1, self.seen))
        self.period.fill_(period)

    def _take_in(self, rate: Tensor) -> None:
        self.seen += 1
        share = 1 / self.seen if self.decay is None else 1 - self.decay
        self.average += (rate - self.average) * share


Target = float | Schedule | VariableTarget
"""A number, a schedule over training, or an average of what was."""

SiteTarget = float | Schedule | Mapping[str, float | Schedule]
"""One for all sites, or by site name."""


class Distance(nn.Module):
    """(t - rate)^2, or 0 on the free side of t; with a multiplier that grows until the target is met.

    The multiplier is in a buffer, so checkpoints contain it, and it changes in training only.

    Args:
        target: t in [0, 1].
        free: the side of t without a penalty, if any.
        multiplier_rate: k, how fast the multiplier changes; 0 for none.
    """

    multiplier: Tensor
    last_progress: Tensor

    def __init__(self, target: Target, free: Side | None = None, multiplier_rate: float = 0.0) -> None:
        super().__init__()
        if multiplier_rate < 0:
            raise InputError(f"multiplier_rate: {multiplier_rate} must be at least 0")
        self.target = target if isinstance(target, VariableTarget) else checked_target(target)
        self.free: Side | None = _checked_side(free)
        self.multiplier_rate = multiplier_rate
        if multiplier_rate:
            self.register_buffer("multiplier", torch.tensor(0.0))
            self.register_buffer("last_progress", torch.tensor(0.0))

    def forward(self, rate: Tensor, progress: float) -> Tensor:
        """[] -> []."""
        target = self.target(rate, progress) if isinstance(self.target, VariableTarget) else self.target(progress)
        distance = _distance(rate, target, self.free)
        return distance + self._multiplied(rate - target, progress) if self.multiplier_rate else distance

    def _multiplied(self, excess: Tensor, progress: float) -> Tensor:
        """m (x - t), then the step of m."""
        term = self.multiplier.to(excess.dtype, copy=True) * excess
        if self.training:
            self._step(excess.detach(), progress)
        return term

    def _step(self, excess: Tensor, progress: float) -> None:
        if isinstance(self.target, VariableTarget) or self.target(progress) == self.target(1.0):
            step = self.multiplier_rate * excess * (progress - self.last_progress).clamp(min=0)
            self.multiplier.copy_(_costly(self.multiplier + step, self.free))
        self.last_progress.fill_(progress)


class SiteTargets:
    """Targets of single sites.

    Args:
        target: each in [0, 1].
    """

    def __init__(self, target: SiteTarget) -> None:
        by_name = isinstance(target, Mapping)
        self.named = {name: checked_target(value) for name, value in target.items()} if by_name else {}
        self.common = None if by_name else checked_target(target)

    def at(self, progress: float, records: Sequence[GateRecord]) -> dict[str, float]:
        """Site name -> target now, of those that have one.

        Raises:
            InputError: a name is not among these sites'.
        """
        names = [record.site.name for record in records]
        if self.common is not None:
            return dict.fromkeys(names, self.common(progress))
        unknown = sorted(self.named.keys() - set(names))
        if unknown:
            raise InputError(f"target: {unknown[0]!r} is not a site of the network's {records[0].site.kind} gates")
        return {name: self.named[name](progress) for name in names if name in self.named}


class BatchActivation(Objective):
    """Squared distance of the open rate of all gates together from a target: stochastic gates eq. 1, or 3.

    Args:
        target: t in [0, 1].
        kind: the kind of sites it applies to; None for all.
        free: "below" makes it the const-quad loss, eq. 3.
        multiplier_rate: see the file's head; 0 for the paper's.
    """

    def __init__(
        self,
        target: Target,
        kind: SiteKind | None = "channel",
        free: Side | None = None,
        multiplier_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.kind: SiteKind | None = kind
        self.distance = Distance(target, free, multiplier_rate)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        opens = torch.cat([record.open for record in records_of(gates, self.kind)], dim=1)  # [N, K]
        return self.distance(batch_rate(opens).mean(), progress)


class MacTarget(Objective):
    """Squared distance of the share of MACs from a target: the FLOPs target of stochastic gates, section 3.4.

    Args:
        macs: the MACs of the network as a function of its gates: `gated.macs`.
        target: t in [0, 1], a share of the plain network's MACs; gate heads are counted too.
        free: "below" makes it const-quad.
        multiplier_rate: see the file's head; 0 for the paper's.
    """

    def __init__(self, macs: MacModel, target: Target, free: Side | None = None, multiplier_rate: float = 0.0) -> None:
        super().__init__()
        self.macs = macs
        self.distance = Distance(target, free, multiplier_rate)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return self.distance(batch_rate(self.macs(gates) / self.macs.dense), progress)


class LatencyTarget(Objective):
    """Squared distance of the milliseconds of an image from a target, as a share of the plain network's.

    Args:
        latency: the time of the network as a function of its gates, on the machine that it is trained for.
        ms: t, milliseconds.
        free: "below" makes it const-quad.
        multiplier_rate: see the file's head.

    Raises:
        InputError: gates cannot reach t: the plain network is at least as fast, or the ungated part is slower.
    """

    def __init__(
        self, latency: LatencyModel, ms: float | Schedule, free: Side | None = None, multiplier_rate: float = 0.0
    ) -> None:
        super().__init__()
        schedule = parse_schedule(ms)
        for wanted in (schedule(0.0), schedule(1.0)):
            if not latency.closed <= wanted <= latency.dense:
                reach = f"from {latency.closed:.4g} (the least with gates) to {latency.dense:.4g} (the plain network)"
                raise InputError(f"ms: {wanted:g} is not {reach}")
        self.latency = latency
        self.distance = Distance(lambda progress: schedule(progress) / latency.dense, free, multiplier_rate)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        return self.distance(batch_rate(self.latency.milliseconds(gates) / self.latency.dense), progress)


class ExitTarget(Objective):
    """Squared distances of the shares of images that leave at early exits from targets: stochastic gates, section S1.5.

    An exit's gate is open if the image goes on. An image leaves at the first closed gate.

    Args:
        target: t_e in [0, 1], for all exits or by site name (exits that are not named have none).
        free: "above" as in the paper: there is no penalty if more images leave early.
    """

    def __init__(self, target: SiteTarget, free: Side | None = "above") -> None:
        super().__init__()
        self.targets = SiteTargets(target)
        self.free: Side | None = _checked_side(free)

    def forward(self, gates: GateRecords, progress: float) -> Tensor:
        records = records_of(gates, "exit")
        targets, terms = self.targets.at(progress, records), []
        staying = torch.ones_like(records[0].open[:, 0])  # [N]
        for record in records:
            going_on = staying * record.open[:, 0]
            leaving, staying = staying - going_on, going_on
            if record.site.name in targets:
                terms.append(_distance(batch_rate(leaving), targets[record.site.name], self.free))
        return torch.stack(terms).sum()


def checked_target(target: float | Schedule) -> Schedule:
    """As a schedule.

    Raises:
        InputError: at the beginning or the end of training it is not in [0, 1].
    """
    schedule = parse_schedule(target)
    for progress in (0.0, 1.0):
        _checked_rate("target", schedule(progress))
    return schedule


def _distance(rate: Tensor, target: Tensor | float, free: Side | None) -> Tensor:
    return _costly(rate - target, free).square()


def _costly(excess: Tensor, free: Side | None) -> Tensor:
    """What of an excess is not on the free side."""
    if free is None:
        return excess
    return excess.clamp(min=0) if free == "below" else excess.clamp(max=0)


def _checked_rate(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise InputError(f"{name}: {value} must lie between 0 and 1")
    return value


def _checked_side(free: Side | None) -> Side | None:
    if free is not None and free not in get_args(Side):
        raise InputError(f"free: {free!r} must be one of {', '.join(get_args(Side))}, or None")
    return free
