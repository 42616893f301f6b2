"""The parts of a recipe for fine-tuning: target, teacher, fitted start. `recipe.py` puts them together."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sluicegate.errors import InputError
from sluicegate.train.ranges import at_least, positive

Shape = Literal["linear", "cosine"]
"""How a target goes from its start to its end: in a straight line, or along half a cosine wave, which is LAUDNet's
cos^2: (1 + cos(pi u)) / 2 = cos^2(pi u / 2)."""

TargetKind = Literal["macs", "rate", "ms"]
"""What a target is: a share of the plain network's MACs, a share of open gates, or milliseconds."""


@dataclass(frozen=True)
class BudgetRecipe:
    """A target: a share of the plain network's MACs (`macs`), or of open gates (`rate`).

    The target falls from `start` to this share during the first part `tighten` of the training (stochastic gates, S1.1,
    lowers it in steps; LAUDNet by cos^2), then it is constant. The squared distance is added to the loss with `weight`.
    With a `multiplier_rate` the pull grows until the target is met (`objectives/targets.py`). With `free="below"` there
    is no penalty for a cheaper network.
    """

    macs: float | None = None
    rate: float | None = None
    weight: float = 10.0
    multiplier_rate: float = 0.0
    start: float = 1.0
    tighten: float = 0.3
    shape: Shape = "linear"
    free: Literal["below"] | None = None

    def __post_init__(self) -> None:
        if self.macs is not None and self.rate is not None:
            raise InputError(f"budget: macs {self.macs:g} and rate {self.rate:g}; one of them at most may be given")
        for name in ("macs", "rate", "start"):
            if (share := getattr(self, name)) is not None and not 0 < share <= 1:
                raise InputError(f"budget.{name}: {share} is not in (0, 1]")
        positive("budget.weight", self.weight)
        at_least("budget.multiplier_rate", self.multiplier_rate, 0)
        _check_tightening("budget", self.start, self.tighten)

    def aimed_at(self, target: float, kind: Literal["macs", "rate"]) -> "BudgetRecipe":
        """The same budget with another target."""
        macs, rate = (target if kind == one else None for one in ("macs", "rate"))
        return replace(self, macs=macs, rate=rate)

    def in_milliseconds(self, table: str | None, ms: float) -> "LatencyRecipe":
        """The same pull towards milliseconds, by a latency table."""
        return LatencyRecipe(table, ms, self.weight, self.multiplier_rate, self.start, self.tighten, self.shape)


def _check_tightening(name: str, start: float, tighten: float) -> None:
    positive(f"{name}.start", start)
    if not 0 <= tighten <= 1:
        raise InputError(f"{name}.tighten: {tighten} is not in [0, 1], a share of the training")


@dataclass(frozen=True)
class DistillationRecipe:
    """A teacher in addition to the labels (Hinton et al. 2015): loss = (1 - weight) task + weight T^2 KL(teacher, net).

    `teacher`, `teacher_weights`, `teacher_options`: the teacher, as in a `NetRecipe`; None: the recipe's own network
    before fine-tuning. It is frozen. A `weight` of 0 means no teacher.
    """

    weight: float = 0.0
    temperature: float = 4.0
    teacher: str | None = None
    teacher_weights: str | None = None
    teacher_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError(f"distillation.weight: {self.weight} is not in [0, 1]")
        positive("distillation.temperature", self.temperature)
        if (self.teacher is None) != (self.teacher_weights is None):
            raise InputError(
                f"distillation: teacher {self.teacher}, teacher_weights {self.teacher_weights}; "
                "both must be given, or none"
            )


@dataclass(frozen=True)
class FitRecipe:
    """Fit gates to the contributions of channels before the first epoch (`train/fitting.py`); `steps` 0: no fit."""

    steps: int = 0
    open_rate: float = 0.6
    lr: float = 0.01
    softness: float = 0.0

    def __post_init__(self) -> None:
        at_least("fit.steps", self.steps, 0)
        if not 0 < self.open_rate < 1:
            raise InputError(f"fit.open_rate: {self.open_rate} is not in (0, 1)")
        positive("fit.lr", self.lr)
        at_least("fit.softness", self.softness, 0)


@dataclass(frozen=True)
class LatencyRecipe:
    """Train towards `ms` milliseconds for an image on the machine that `table` was measured on (docs/latency.md).

    The objective is added to the method's own, at `weight`. `sluicegate profile RECIPE` writes the table.
    `start` (a share of the plain network's milliseconds), `tighten`, `shape` and `multiplier_rate` are those of a
    `BudgetRecipe`.
    """

    table: str | None = None
    ms: float | None = None
    weight: float = 10.0
    multiplier_rate: float = 0.0
    start: float = 1.0
    tighten: float = 0.0
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        _check_tightening("latency", self.start, self.tighten)
        if (self.table is None) != (self.ms is None):
            raise InputError(f"latency: table {self.table}, ms {self.ms}; both must be given, or none")
        if self.ms is not None:
            positive("latency.ms", self.ms)
        positive("latency.weight", self.weight)
        at_least("latency.multiplier_rate", self.multiplier_rate, 0)
