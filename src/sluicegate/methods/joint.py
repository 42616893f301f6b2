"""Gates of layers and channels together, with exits, and DLCG's channel gates alone."""

from dataclasses import replace
from functools import partial

from sluicegate.convert import ChannelGating, ExitGating, GatedModel, JointGating, LayerGating
from sluicegate.gates import FadingNoise, PooledHead
from sluicegate.methods.exits import early_exits
from sluicegate.methods.method import ESTIMATORS, EstimatorName, Method, Weight
from sluicegate.objectives import BatchShaping, ExitTarget, Objective, Reduction, SquaredRates, WeightedSum


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
    shaping: Weight = 0.0,
) -> Method:
    """Joint channel and layer gating (DLCG sections 3.2 and 3.3): one head a block, eq. 4 and 5 weighted as in eq. 6.

    Args:
        layer_weight: lambda of eq. 6.
        channel_weight: gamma of eq. 6.
        reduction: how eq. 4 and 5 sum (see `objectives/rates.py`).
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of the shared layer.
        batch_norm: normalise them. Batch shaping and ConvNet-AIG do, DLCG does not. With it, gates distinguish images
            after a few hundred steps.
        estimator: the paper trains "with the Gumbel max trick with sigmoid relaxation": `bin_concrete`.
        initial_open_rate: probability with which a gate starts open.
        shaping: weight of batch shaping's loss on the channel gates, eq. 2 there with Beta(0.6, 0.4), which DLCG's
            section 5 proposes to add.
    """
    sample = ESTIMATORS[estimator]()
    gating = JointGating(
        channel=ChannelGating(at, granularity, estimator=sample),
        layer=LayerGating(estimator=sample),
        head=partial(PooledHead, hidden=hidden, batch_norm=batch_norm),
        initial_open_rate=initial_open_rate,
    )

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum(_rates_of_blocks(layer_weight, channel_weight, reduction, shaping))

    return Method("dlcg", gating, objective)


def combined(
    layer_weight: Weight = 0.05,
    channel_weight: Weight = 0.10,
    exit_target: float = 0.3,
    exit_weight: Weight = 1.0,
    more_may_leave: bool = True,
    shaping: Weight = 0.0,
    reduction: Reduction = "mean",
    at: str | list[str] = "mid",
    granularity: int = 1,
    hidden: int = 16,
    batch_norm: bool = False,
    exits_at: str | list[str] = "stages",
    classifier_channels: int = 128,
    exit_open_rate: float = 0.8,
    noise: Weight | None = None,
) -> Method:
    """Channel, layer and exit gates in one network: DLCG's with early exits, which its section 5 proposes.

    An image that has left still counts in the rates of the gates after its exit, with what they would have decided. So
    the losses on these gates do not push images to leave.

    Args:
        layer_weight, channel_weight, shaping, reduction: see `dlcg`.
        exit_target: the smallest share of all images that should leave at each exit.
        exit_weight: of the loss on exits, relative to cross entropy.
        more_may_leave: True: no penalty above the target, as in `early_exits`. False: the share must be met.
        at, granularity, hidden, batch_norm: of channel and layer gates, see `dlcg`.
        exits_at, classifier_channels: see `early_exits`.
        exit_open_rate: probability with which an image that reaches an exit goes on at first.
        noise: of all gates, as for `budgeted`; None: they sample as those of `dlcg` and `early_exits` do. In a short
            training exits that end with noise may all have the target's probability, and then no image leaves.
    """
    blocks = dlcg(at=at, granularity=granularity, hidden=hidden, batch_norm=batch_norm).gating
    leaving = early_exits(at=exits_at, classifier_channels=classifier_channels, initial_open_rate=exit_open_rate).gating
    assert isinstance(blocks, JointGating) and isinstance(leaving, ExitGating)
    if noise is not None:
        sample = FadingNoise(noise)
        channel, layer = (replace(gating, estimator=sample) for gating in (blocks.channel, blocks.layer))
        blocks, leaving = replace(blocks, channel=channel, layer=layer), replace(leaving, estimator=sample)

    def objective(gated: GatedModel) -> Objective:
        rates = _rates_of_blocks(layer_weight, channel_weight, reduction, shaping)
        exits = ExitTarget(exit_target, free="above" if more_may_leave else None)
        return WeightedSum({**rates, "exits": (exit_weight, exits)})

    return Method("combined", [blocks, leaving], objective)


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
        estimator=ESTIMATORS[estimator](),
        head=partial(PooledHead, hidden=hidden, batch_norm=batch_norm),
        initial_open_rate=initial_open_rate,
    )

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"channel": (channel_weight, SquaredRates("channel", reduction))})

    return Method("channel_only", gating, objective)


def _rates_of_blocks(
    layer_weight: Weight, channel_weight: Weight, reduction: Reduction, shaping: Weight
) -> dict[str, tuple[Weight, Objective]]:
    """The terms of DLCG's eq. 6 by name, and batch shaping of the channel gates if it has a weight."""
    terms: dict[str, tuple[Weight, Objective]] = {
        "layer": (layer_weight, SquaredRates("layer", reduction)),
        "channel": (channel_weight, SquaredRates("channel", reduction)),
    }
    return terms if shaping == 0 else {**terms, "shaping": (shaping, BatchShaping(reduction=reduction))}
