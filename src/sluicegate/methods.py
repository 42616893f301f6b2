"""The published methods as presets: each says which gates a network gets and what training asks of them.

A preset is a few lines that compose parts of `convert`, `gates` and `objectives`; what it leaves to its caller is the
method's own knob. Methods take plain numbers and names, so that a recipe's YAML can hold them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from sluicegate.convert import (
    GATER,
    ChannelGating,
    ExitGating,
    GatedModel,
    GaterGating,
    Gating,
    JointGating,
    LayerGating,
    RecurrentGating,
    SharedGating,
    exit_classifier,
)
from sluicegate.errors import InputError
from sluicegate.gates import (
    BinConcrete,
    Estimator,
    FadingNoise,
    GumbelSoftmax,
    ImprovedSemHash,
    LearnedLogits,
    MemoryHead,
    PooledHead,
    SaliencyHead,
    StraightThrough,
    StraightThroughPolicy,
    TopK,
)
from sluicegate.nets import build_net
from sluicegate.objectives import (
    BatchShaping,
    Beta,
    ExitTarget,
    GateL0,
    GateL1,
    MacTarget,
    Objective,
    Reduction,
    Reinforce,
    SquaredRates,
    TargetRate,
    WeightedSum,
)
from sluicegate.schedule import Schedule, linear

EstimatorName = Literal["bin_concrete", "gumbel_softmax", "straight_through", "semhash"]

Weight = float | Schedule
"""Of an objective: a number, or a schedule over training."""

_ESTIMATORS: dict[EstimatorName, type[Estimator]] = {
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
        gating: the gates to insert, of one gating or of several; None for the plain network.
        objective: what training adds to the task's loss, given the gated network; None for nothing.
        weights: safetensors files that parts of the gated network start from, by the part's name in it.
        reward: what sampled gates are rewarded for, image by image; None for gates that learn by gradients alone.
    """

    name: str
    gating: Gating | Sequence[Gating] | None = None
    objective: Callable[[GatedModel], Objective] | None = None
    weights: dict[str, str] = field(default_factory=dict)
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
    shaping: Weight = 0.0,
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
        shaping: weight of batch shaping's loss on the channel gates, eq. 2 there with Beta(0.6, 0.4), which DLCG's
            section 5 proposes to add.
    """
    sample = _ESTIMATORS[estimator]()
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
) -> Method:
    """Channel, layer and exit gates in one network: DLCG's with early exits, which its section 5 proposes.

    An image that has left still counts in the rates of the gates behind its exit, by what they would have decided; so
    pressure on them does not push images out.

    Args:
        layer_weight, channel_weight, shaping, reduction: see `dlcg`.
        exit_target: the least share of all images that is to leave at each exit.
        exit_weight: of that, beside cross entropy.
        more_may_leave: more images cost nothing, as in `early_exits`; else the share is to be met.
        at, granularity, hidden, batch_norm: of channel and layer gates, see `dlcg`.
        exits_at, classifier_channels: see `early_exits`.
    """
    blocks = dlcg(at=at, granularity=granularity, hidden=hidden, batch_norm=batch_norm).gating
    leaving = early_exits(at=exits_at, classifier_channels=classifier_channels).gating
    assert isinstance(blocks, Gating) and isinstance(leaving, Gating)

    def objective(gated: GatedModel) -> Objective:
        rates = _rates_of_blocks(layer_weight, channel_weight, reduction, shaping)
        exits = ExitTarget(exit_target, free="above" if more_may_leave else None)
        return WeightedSum({**rates, "exits": (exit_weight, exits)})

    return Method("combined", [blocks, leaving], objective)


def _rates_of_blocks(
    layer_weight: Weight, channel_weight: Weight, reduction: Reduction, shaping: Weight
) -> dict[str, tuple[Weight, Objective]]:
    """The terms of DLCG's eq. 6 by name, and batch shaping of the channel gates if it has a weight."""
    terms: dict[str, tuple[Weight, Objective]] = {
        "layer": (layer_weight, SquaredRates("layer", reduction)),
        "channel": (channel_weight, SquaredRates("channel", reduction)),
    }
    return terms if shaping == 0 else {**terms, "shaping": (shaping, BatchShaping(reduction=reduction))}


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


def batch_shaping(
    shaping: float = 0.75,
    shaped_until: float | None = 100 / 500,
    sparsity: float = 0.05,
    ramp: tuple[float, float] = (100 / 500, 300 / 500),
    a: float = 0.6,
    b: float = 0.4,
    reduction: Reduction = "mean",
    at: str | list[str] = "mid",
    granularity: int = 1,
    hidden: int = 16,
    initial_open_rate: float = 0.97,
) -> Method:
    """Channel gates that are shaped to fire sometimes, then pressed to close (batch shaping, sections 4 and 5).

    Args:
        shaping: lambda of eq. 2 at the start.
        shaped_until: share of the training in which it falls to 0 in a straight line: by epoch 100 of 500 on CIFAR-10,
            by 20 of 150 on ImageNet; None for a lambda that stays.
        sparsity: gamma of eq. 5, once it is fully on.
        ramp: shares of the training between which gamma rises from 0; epochs 100 to 300, on ImageNet 30 to 60.
        a, b: of the Beta prior.
        reduction: how both losses sum over gates (see `objectives/reduction.py`).
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of a head's hidden layer, which is batch-normalised.
        initial_open_rate: probability with which a gate starts out open.
    """
    gating = ChannelGating(
        at,
        granularity,
        estimator=BinConcrete(2 / 3),
        head=partial(PooledHead, hidden=hidden, batch_norm=True),
        initial_open_rate=initial_open_rate,
    )

    fading = shaping if shaped_until is None else linear(shaping, 0.0, 0.0, shaped_until)

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum(
            {
                "shaping": (fading, BatchShaping(Beta(a, b), reduction=reduction)),
                "l0": (linear(0.0, sparsity, *ramp), GateL0(reduction=reduction)),
            }
        )

    return Method("batch_shaping", gating, objective)


def stochastic_gates(
    target: Weight = 0.5,
    weight: Weight = 1.0,
    conditional: bool = True,
    at: str | tuple[str, ...] = ("inp", "mid", "out"),
    granularity: int = 1,
    hidden: int = 16,
    temperature: Weight = 1.0,
    initial_open_rate: float = 0.97,
    memory: bool = False,
    locked: bool = False,
    keep_open: int = 1,
) -> Method:
    """Channel gates trained towards a share of the MACs (stochastic gates, sections 3 and 3.4).

    Args:
        target: t, the share of the plain network's MACs; a schedule anneals it (section S1.1).
        weight: of the objective beside cross entropy; the paper has 1.
        conditional: gates look at the image; else their logits are parameters, which prunes.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate (section 4.2).
        hidden: neurons of a conditional head's hidden layer, which is batch-normalised.
        temperature: of Gumbel softmax.
        initial_open_rate: probability with which a gate starts out open.
        memory: conditional gates take a second look at what all gates of their site said (section S1.3).
        locked: identical layers share their gates (section S1.3).
        keep_open: gates that are always open where `at` names places outside of residual branches (section 4.2).
    """
    if memory and not conditional:
        raise InputError("memory: True, but gates that do not look at the image have nothing to look at twice")
    look = MemoryHead if memory else PooledHead
    channel = ChannelGating(
        at,
        granularity,
        estimator=GumbelSoftmax(temperature),
        head=partial(look, hidden=hidden, batch_norm=True) if conditional else LearnedLogits,
        initial_open_rate=initial_open_rate,
        keep_open=keep_open,
    )
    gating = SharedGating(channel) if locked else channel

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"macs": (weight, MacTarget(gated.macs, target))})

    return Method("stochastic_gates", gating, objective)


def early_exits(
    target: float = 0.3,
    weight: Weight = 1.0,
    targets: dict[str, float] | None = None,
    at: str | list[str] = "stages",
    conv_head: bool = False,
    classifier_channels: int = 128,
    temperature: Weight = 1.0,
    initial_open_rate: float = 0.8,
) -> Method:
    """Gates by which an image leaves after a stage, trained towards rates (stochastic gates, sections 5 and S1.5).

    Args:
        target: t, the least share of all images that is to leave at each exit; more cost nothing.
        weight: of the objective beside cross entropy.
        targets: shares at single exits by name ("layer1.exit": 0.4) in place of `target`.
        at: behind which stages (see `ExitGating`).
        conv_head: the paper's gate, two convolutions of 128 channels (`ConvHead`), which may cost more than an exit
            saves; else one that pools.
        classifier_channels: of both convolutions of an exit's classifier; 128 in the paper, much for small networks.
        temperature: of Gumbel softmax.
        initial_open_rate: probability with which an image that comes to an exit goes on at first.
    """
    head = "conv" if conv_head else partial(PooledHead, batch_norm=True)
    classifier = partial(exit_classifier, hidden=classifier_channels)
    gating = ExitGating(at, GumbelSoftmax(temperature), head, classifier, initial_open_rate)

    def objective(gated: GatedModel) -> Objective:
        rates = {name: target for name in gated.sites} | (targets or {})
        return WeightedSum({"exits": (weight, ExitTarget(rates))})

    return Method("early_exits", gating, objective)


def fbs(share: float = 0.5, at: str | list[str] = "mid", granularity: int = 1) -> Method:
    """Feature boosting and suppression (Gao et al., ICLR 2019): the k most salient channels, scaled by their saliency.

    Args:
        share: k as a share of a site's gates, the density d; the same for every image.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
    """
    return Method("fbs", ChannelGating(at, granularity, estimator=TopK(share, boost=True), head=SaliencyHead))


def gaternet(
    l1_weight: Weight = 0.1,
    gater: str = "resnet20",
    gater_options: dict[str, Any] | None = None,
    gater_weights: str | None = None,
    bottleneck: int = 8,
    at: str | list[str] = "out",
    granularity: int = 1,
    initial_open_rate: float = 0.9,
    dropout: Weight = 0.0,
) -> Method:
    """A second network that gates the filters of the first (GaterNet section 3): cross entropy + lambda ||G(x)||_1 / c.

    Args:
        l1_weight: lambda, which the paper does not state.
        gater, gater_options: the gater, as `build_net` takes it; ResNet-20 on CIFAR, ResNet-18 on ImageNet.
        gater_weights: a safetensors file of a network trained on the same task (section 3.3); its last layer is unused.
        bottleneck: neurons between the gater's features and the gates.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        initial_open_rate: see `GaterGating`.
        dropout: of gates in training; `linear(0, 0.05)` for DenseNet, Shake-Shake and Inception-v4 (appendix B).
    """
    net = build_net(gater, **gater_options or {})
    gating = GaterGating(net, at, granularity, bottleneck, initial_open_rate, dropout)

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"channel": (l1_weight, GateL1("channel"))})

    return Method("gaternet", gating, objective, weights={f"network.{GATER}": gater_weights} if gater_weights else {})


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
        return WeightedSum({"layer": (pressure, GateL1("layer"))})

    return Method("skipnet", gating, objective, reward=Reinforce(begin, alpha, reward_weight))


def budgeted(
    conditional: bool = True,
    layers: bool = False,
    at: str | list[str] = "mid",
    granularity: int = 1,
    hidden: int = 16,
    batch_norm: bool = True,
    noise: Weight = 1.0,
    temperature: Weight = 2 / 3,
    initial_open_rate: float = 0.9,
    keep_open: int = 1,
) -> Method:
    """Gates without an objective of their own: a recipe's `budget` says how much they may leave open (ours).

    Args:
        conditional: gates look at the image; else their logits are parameters, which prunes.
        layers: each residual branch has a gate as well, by the same head.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of a head's hidden layer.
        batch_norm: normalise them.
        noise: of a gate, 1 for that of `BinConcrete`, 0 for none; a schedule such as `linear(1, 0, 0, 0.7)` leaves none
            for the end (see `FadingNoise`).
        temperature: of the gates' gradient.
        initial_open_rate: probability with which a gate starts out open.
        keep_open: gates that are always open where `at` names places outside of residual branches.
    """
    head = partial(PooledHead, hidden=hidden, batch_norm=batch_norm) if conditional else LearnedLogits
    estimator = FadingNoise(noise, temperature)
    channel = ChannelGating(at, granularity, estimator, head, initial_open_rate, keep_open)
    if not layers:
        return Method("budgeted", channel)
    return Method("budgeted", JointGating(channel, LayerGating(estimator, head), head, initial_open_rate))
