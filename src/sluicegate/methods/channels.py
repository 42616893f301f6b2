"""Gates of channels, decided by what a block reads."""

from functools import partial

from sluicegate.convert import ChannelGating, GatedModel, JointGating, LayerGating, SharedGating
from sluicegate.errors import InputError
from sluicegate.gates import (
    BinConcrete,
    FadingNoise,
    GumbelSoftmax,
    LearnedLogits,
    MemoryHead,
    PooledHead,
    SaliencyHead,
    TopK,
)
from sluicegate.methods.method import Method, Weight
from sluicegate.objectives import BatchShaping, Beta, GateL0, MacTarget, Objective, Reduction, WeightedSum
from sluicegate.schedule import linear


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
    """Channel gates trained first by the shaping loss, then by a sparsity loss (batch shaping, sections 4 and 5).

    Args:
        shaping: lambda of eq. 2 at the start.
        shaped_until: progress at which lambda has fallen linearly to 0: epoch 100 of 500 on CIFAR-10, 20 of 150 on
            ImageNet. None: lambda is constant.
        sparsity: gamma of eq. 5 at the end of the ramp.
        ramp: progress at which gamma begins to rise from 0 and at which it is reached: epochs 100 and 300 on CIFAR-10,
            30 and 60 on ImageNet.
        a, b: of the Beta prior.
        reduction: how both losses sum over gates (see `objectives/reduction.py`).
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of a head's hidden layer, which is batch-normalised.
        initial_open_rate: probability with which a gate starts open.
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
        weight: of the objective, relative to cross entropy; the paper has 1.
        conditional: True: gates decide by the image. False: their logits are parameters, which gives pruning.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate (section 4.2).
        hidden: neurons of a conditional head's hidden layer, which is batch-normalised.
        temperature: of Gumbel softmax.
        initial_open_rate: probability with which a gate starts open.
        memory: a conditional gate also reads the first outputs of all gates of its site (section S1.3).
        locked: identical layers share their gates (section S1.3).
        keep_open: number of gates that are always open at places outside of residual branches (section 4.2).
    """
    if memory and not conditional:
        raise InputError("memory: True, but conditional is False; only gates that look at the image have a memory")
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


def fbs(share: float = 0.5, at: str | list[str] = "mid", granularity: int = 1) -> Method:
    """Feature boosting and suppression (Gao et al., ICLR 2019): the k most salient channels, scaled by their saliency.

    Args:
        share: k as a share of a site's gates, the density d; the same for every image.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
    """
    return Method("fbs", ChannelGating(at, granularity, estimator=TopK(share, boost=True), head=SaliencyHead))


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
    """Gates without a loss of their own: a recipe's `budget` sets the target (ours).

    Args:
        conditional: True: gates decide by the image. False: their logits are parameters, which gives pruning.
        layers: also gate each residual branch as a whole, with the same head.
        at, granularity: which channels (see `ChannelGating`), and how many adjacent ones share a gate.
        hidden: neurons of a head's hidden layer.
        batch_norm: normalise them.
        noise: size of a gate's noise: 1 as in `BinConcrete`, 0 for none. A schedule such as `linear(1, 0, 0, 0.7)` ends
            without noise (see `FadingNoise`).
        temperature: of the relaxation that gives the gates' gradient.
        initial_open_rate: probability with which a gate starts open.
        keep_open: number of gates that are always open at places outside of residual branches.
    """
    head = partial(PooledHead, hidden=hidden, batch_norm=batch_norm) if conditional else LearnedLogits
    estimator = FadingNoise(noise, temperature)
    channel = ChannelGating(at, granularity, estimator, head, initial_open_rate, keep_open)
    if not layers:
        return Method("budgeted", channel)
    return Method("budgeted", JointGating(channel, LayerGating(estimator, head), head, initial_open_rate))
