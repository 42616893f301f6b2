"""The published methods as presets: each says which gates a network gets and what training asks of them.

A preset is a few lines that compose parts of `convert`, `gates` and `objectives`; what it leaves to its caller is the
method's own knob. Methods take plain numbers and names, so that a recipe's YAML can hold them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sluicegate.convert import ChannelGating, GatedModel, Gating, JointGating, LayerGating, RecurrentGating
from sluicegate.gates import BinConcrete, Estimator, GumbelSoftmax, PooledHead, StraightThrough, StraightThroughPolicy
from sluicegate.objectives import L1, Objective, Reduction, Reinforce, SquaredRates, TargetRate, WeightedSum
from sluicegate.schedule import Schedule

EstimatorName = Literal["bin_concrete", "gumbel_softmax", "straight_through"]

Weight = float | Schedule
"""Of an objective: a number, or a schedule over training."""

_ESTIMATORS: dict[EstimatorName, type[Estimator]] = {
    "bin_concrete": BinConcrete,
    "gumbel_softmax": GumbelSoftmax,
    "straight_through": StraightThrough,
}


@dataclass(frozen=True)
class Method:
    """Gates and objective of one published method.

    Attributes:
        name: how it is called.
        gating: the gates to insert; None for the plain network.
        objective: what training adds to the task's loss, given the gated network; None for nothing.
        reward: what sampled gates are rewarded for, image by image; None for gates that learn by gradients alone.
    """

    name: str
    gating: Gating | None = None
    objective: Callable[[GatedModel], Objective] | None = None
    reward: Reinforce | None = None


def dense() -> Method:
    """The plain network, without gates."""
    return Method("dense")


def dlcg(
    layer_weight: Weight = 0.05,
    channel_weight: Weight = 0.10,
    reduction: Reduction = "mean",
    at: str | list[str] = "mid",
    granularity: int = 1,
    hidden: int = 16,
    batch_norm: bool = False,
    estimator: EstimatorName = "bin_concrete",
    initial_open_rate: float = 0.97,
) -> Method:
    """Joint channel and layer gating (DLCG sections 3.2 and 3.3): one head a block, eq. 4 and 5 weighted as in eq. 6.

    Args:
        layer_weight: lambda of eq. 6.
        channel_weight: gamma of eq. 6.
        reduction: how eq. 4 and 5 sum (see `objectives/rates.py`).
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of the shared layer.
        batch_norm: normalise them, as batch shaping and ConvNet-AIG do and DLCG does not; gates then tell images apart
            after a few hundred steps already.
        estimator: the paper trains "with the Gumbel max trick with sigmoid relaxation": `bin_concrete`.
        initial_open_rate: probability with which a gate starts out open.
    """
    sample = _ESTIMATORS[estimator]
    gating = JointGating(
        channel=ChannelGating(at, granularity, estimator=sample()),
        layer=LayerGating(estimator=sample()),
        head=partial(PooledHead, hidden=hidden, batch_norm=batch_norm),
        initial_open_rate=initial_open_rate,
    )

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum(
            {
                "layer": (layer_weight, SquaredRates("layer", reduction)),
                "channel": (channel_weight, SquaredRates("channel", reduction)),
            }
        )

    return Method("dlcg", gating, objective)


def channel_only(
    channel_weight: Weight = 0.10,
    reduction: Reduction = "mean",
    at: str | list[str] = "mid",
    granularity: int = 1,
    hidden: int = 16,
    batch_norm: bool = False,
    estimator: EstimatorName = "bin_concrete",
    initial_open_rate: float = 0.97,
) -> Method:
    """DLCG's channel gates alone, the "channel gating" of its figures 3 and 4 (arguments as for `dlcg`)."""
    gating = ChannelGating(
        at,
        granularity,
        estimator=_ESTIMATORS[estimator](),
        head=partial(PooledHead, hidden=hidden, batch_norm=batch_norm),
        initial_open_rate=initial_open_rate,
    )

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"channel": (channel_weight, SquaredRates("channel", reduction))})

    return Method("channel_only", gating, objective)


def convnet_aig(
    target: float = 0.7,
    weight: Weight = 1.0,
    targets: dict[str, float] | None = None,
    hidden: int = 16,
    estimator: EstimatorName = "gumbel_softmax",
    initial_open_rate: float = 0.97,
) -> Method:
    """Layer gates trained towards a rate (ConvNet-AIG; DLCG section 2.2, eq. 2 and 3).

    Args:
        target: t of eq. 2, for every block.
        weight: of the objective beside cross entropy; eq. 3 has 1.
        targets: rates of single blocks by name ("layer1.0": 1.0) in place of `target`, as AIG set them by hand.
        hidden: neurons of a head's hidden layer, which is batch-normalised.
        estimator: two logits under Gumbel softmax in the paper.
        initial_open_rate: probability with which a gate starts out open.
    """
    gating = LayerGating(
        estimator=_ESTIMATORS[estimator](),
        head=partial(PooledHead, hidden=hidden, batch_norm=True),
        initial_open_rate=initial_open_rate,
    )

    def objective(gated: GatedModel) -> Objective:
        rates = {name: target for name in gated.sites} | (targets or {})
        return WeightedSum({"layer": (weight, TargetRate(rates))})

    return Method("convnet_aig", gating, objective)


def skipnet(
    begin: float = 64 / 74,
    alpha: float = 0.1,
    reward_weight: float = 0.01,
    pressure: Weight = 0.0,
    features: int = 10,
    hidden: int = 10,
    initial_open_rate: float = 0.97,
) -> Method:
    """Layer gates that share an LSTM, trained by gradients and then by REINFORCE (SkipNet; docs/skipnet.md).

    Args:
        begin: progress at which gates stop being straight-through and become a policy; the published schedule has
            64 000 iterations before and 10 000 after.
        alpha: reward for skipping every block, beside the negative loss of the image.
        reward_weight: of REINFORCE beside cross entropy.
        pressure: of the mean open rate, before `begin`; the published warm-up has none.
        features, hidden: of the LSTM.
        initial_open_rate: probability with which a gate starts out open.
    """
    gating = RecurrentGating(StraightThroughPolicy(begin), features, hidden, initial_open_rate)

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"layer": (pressure, L1("layer"))})

    return Method("skipnet", gating, objective, Reinforce(begin, alpha, reward_weight))
