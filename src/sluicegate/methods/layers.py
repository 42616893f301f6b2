"""Gates of whole residual branches."""

from functools import partial

from sluicegate.convert import GatedModel, LayerGating, RecurrentGating
from sluicegate.gates import PooledHead, StraightThroughPolicy
from sluicegate.methods.method import ESTIMATORS, EstimatorName, Method, Weight
from sluicegate.objectives import GateL1, Objective, Reinforce, TargetRate, WeightedSum


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
        weight: of the objective, relative to cross entropy; eq. 3 has 1.
        targets: rates of single blocks by name ("layer1.0": 1.0), instead of `target`; AIG set them by hand.
        hidden: neurons of a head's hidden layer, which is batch-normalised.
        estimator: two logits under Gumbel softmax in the paper.
        initial_open_rate: probability with which a gate starts open.
    """
    gating = LayerGating(
        estimator=ESTIMATORS[estimator](),
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
        begin: progress at which gates change from straight-through to a sampled policy. The published schedule has
            64 000 iterations before and 10 000 after.
        alpha: reward for skipping every block, added to the negative loss of the image.
        reward_weight: of REINFORCE, relative to cross entropy.
        pressure: weight of the mean open rate in the loss before `begin`; the published warm-up has none.
        features, hidden: of the LSTM.
        initial_open_rate: probability with which a gate starts open.
    """
    gating = RecurrentGating(StraightThroughPolicy(begin), features, hidden, initial_open_rate)

    def objective(gated: GatedModel) -> Objective:
        return WeightedSum({"layer": (pressure, GateL1("layer"))})

    return Method("skipnet", gating, objective, reward=Reinforce(begin, alpha, reward_weight))
