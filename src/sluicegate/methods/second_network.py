"""Gates of filters that a second network decides."""

from typing import Any

from sluicegate.convert import GATER, GatedModel, GaterGating
from sluicegate.methods.method import Method, Weight
from sluicegate.nets import build_net
from sluicegate.objectives import GateL1, Objective, WeightedSum


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
