"""A method: the gates that a network gets, and the losses that train them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sluicegate.convert import GatedModel, Gating
from sluicegate.gates import BinConcrete, Estimator, GumbelSoftmax, ImprovedSemHash, StraightThrough
from sluicegate.objectives import Objective, Reinforce
from sluicegate.schedule import Schedule

EstimatorName = Literal["bin_concrete", "gumbel_softmax", "straight_through", "semhash"]

Weight = float | Schedule
"""Of an objective: a number, or a schedule over training."""

ESTIMATORS: dict[EstimatorName, type[Estimator]] = {
    "bin_concrete": BinConcrete,
    "gumbel_softmax": GumbelSoftmax,
    "straight_through": StraightThrough,
    "semhash": ImprovedSemHash,
}


@dataclass(frozen=True)
class Method:
    """Gates and objective of one published method.

    Attributes:
        name: how it is called.
        gating: the gates to insert, one gating or several; None for the plain network.
        objective: makes the loss that training adds to the task's loss, from the gated network; None for nothing.
        weights: safetensors files that parts of the gated network start from, by the part's name in it.
        reward: the reward of sampled gates for each image; None for gates that learn by gradients only.
    """

    name: str
    gating: Gating | Sequence[Gating] | None = None
    objective: Callable[[GatedModel], Objective] | None = None
    weights: dict[str, str] = field(default_factory=dict)
    reward: Reinforce | None = None


def dense() -> Method:
    """The plain network, without gates."""
    return Method("dense")
