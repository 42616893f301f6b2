"""Gates by which an image leaves early."""

from functools import partial

from sluicegate.convert import ExitGating, GatedModel, exit_classifier
from sluicegate.gates import GumbelSoftmax, PooledHead
from sluicegate.methods.method import Method, Weight
from sluicegate.objectives import ExitTarget, Objective, WeightedSum


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
        target: t, the smallest share of all images that should leave at each exit; there is no penalty above it.
        weight: of the objective, relative to cross entropy.
        targets: shares of single exits by name ("layer1.exit": 0.4), instead of `target`.
        at: after which stages (see `ExitGating`).
        conv_head: True: the paper's gate, two convolutions of 128 channels (`ConvHead`), which may cost more than an
            exit saves. False: a head that pools.
        classifier_channels: of both convolutions of an exit's classifier; 128 in the paper, much for small networks.
        temperature: of Gumbel softmax.
        initial_open_rate: probability with which an image that reaches an exit goes on at first.
    """
    head = "conv" if conv_head else partial(PooledHead, batch_norm=True)
    classifier = partial(exit_classifier, hidden=classifier_channels)
    gating = ExitGating(at, GumbelSoftmax(temperature), head, classifier, initial_open_rate)

    def objective(gated: GatedModel) -> Objective:
        rates = {name: target for name in gated.sites} | (targets or {})
        return WeightedSum({"exits": (weight, ExitTarget(rates))})

    return Method("early_exits", gating, objective)
