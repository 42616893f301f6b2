"""ExitGating: an image leaves the network as soon as a gate says so (stochastic gates, sections 5 and S1.5).

Legend: N images, C channels, H W pixels, K classes, e exits in order of execution.

    output = sum_e  (1 - z_e) prod_{e' < e} z_e'  y_e

z_e is the decision of exit e's gate, open (1) if the image goes on. y_e is the output of its classifier. The last term
is the network's own output, with z = 0. (The paper's gate is open if the image leaves: its z is 1 - z here, so that a
higher threshold means less work for every kind of gate.) Only one term of the sum is not zero, that of the first closed
exit; its gradient reaches every gate.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from torch import fx, nn

from sluicegate.convert.gating import Gating, HeadFactory, Placement
from sluicegate.errors import InputError
from sluicegate.gates import ConvHead, Estimator, Gate, GateSite, GumbelSoftmax, PooledHead
from sluicegate.graph import example_of, output_of, shape, shape_text
from sluicegate.ops import read_network
from sluicegate.sites import Stage, find_stages, stage_at

EXITS = "exits"
"""The classifiers' place in a gated graph, by the name of the stage."""

ClassifierFactory = Callable[[int, int], nn.Module]
"""(C of what the classifier reads, K) -> classifier [N, C, H, W] -> [N, K]."""


def exit_classifier(channels: int, classes: int, hidden: int = 128) -> nn.Module:
    """MSDNet's: two 3x3 convolutions of stride 2, each with batch norm and ReLU, global average pool, linear.

    Args:
        channels: C.
        classes: K.
        hidden: channels of both convolutions.
    """
    layers: list[nn.Module] = []
    for inputs in (channels, hidden):
        layers += [nn.Conv2d(inputs, hidden, 3, 2, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(hidden, classes))


@dataclass(frozen=True)
class ExitGating(Gating):
    """An early exit behind each stage: a gate that decides image by image whether to leave, and a classifier.

    An exit's site is named after its stage, `layer1.exit`. Its gate is open if the image goes on.

    Args:
        at: "stages" for the end of every stage but the last; or the name of a module (or node) to put an exit after,
            or a list of these.
        estimator: copied for each exit.
        head: makes the heads; "conv" for the paper's, a `ConvHead` for the size of the map, whose convolutions may
            cost more than an exit saves.
        classifier: makes the classifiers.
        initial_open_rate: probability with which an image that reaches an exit goes on at first; no paper states one.
            If few images go on, the rest of the network gets little training.
    """

    at: str | Sequence[str] = "stages"
    estimator: Estimator = field(default_factory=GumbelSoftmax)
    head: HeadFactory | Literal["conv"] = PooledHead
    classifier: ClassifierFactory = exit_classifier
    initial_open_rate: float = 0.8

    def stages(self, graph_module: fx.GraphModule) -> list[Stage]:
        """The places themselves."""
        if self.at != "stages":
            names = [self.at] if isinstance(self.at, str) else self.at
            return [stage_at(graph_module, name) for name in names]
        found = find_stages(graph_module)
        if not found:
            raise InputError("at: 'stages' finds no place for an exit, since the network has one resolution only")
        return found

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        if hasattr(graph_module, EXITS):
            raise InputError(f"net: it has an attribute `{EXITS}`, which is where exits would stand")
        result = _result(graph_module)
        return [self._placement(stage, result) for stage in self.stages(graph_module)]

    def _placement(self, stage: Stage, result: fx.Node) -> Placement:
        reads, name = stage.value, f"{stage.name}.exit"
        _, channels, height, width = shape(reads)
        make_head = partial(ConvHead, size=(height, width)) if self.head == "conv" else self.head
        head = make_head(channels, [self.estimator.logits_per_gate])
        site = GateSite(name, "exit", 1, 1, reads.name, result.name)
        gate = Gate(head, [site], [deepcopy(self.estimator)], self.initial_open_rate)
        return Placement(name, reads, ((),), gate, self._classifier(stage, result))

    def _classifier(self, stage: Stage, result: fx.Node) -> fx.GraphModule:
        made = self.classifier(shape(stage.value)[1], shape(result)[1])
        try:
            traced = read_network(made, example_of(stage.value))
        except InputError as error:
            raise InputError(f"classifier: none at {stage.name!r}, {error}") from error
        if shape(says := _result(traced)) != shape(result):
            raise InputError(
                f"classifier: {type(made).__name__} makes {shape_text(says)} of {shape_text(stage.value)} at "
                f"{stage.name!r}, but the network makes {shape_text(result)}"
            )
        return traced


def _result(graph_module: fx.GraphModule) -> fx.Node:
    """The node that a network returns, [N, K]."""
    result = output_of(graph_module.graph).args[0]
    if not isinstance(result, fx.Node) or len(shape(result)) != 2:
        what = f"shape {shape_text(result)}" if isinstance(result, fx.Node) else type(result).__name__
        raise InputError(f"net: it returns {what}; exits are for networks that return one tensor [N, K]")
    return result
