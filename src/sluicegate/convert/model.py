"""GatedModel: a network with gates in its graph.

Legend: N images, G gates of a site.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn

from sluicegate.convert.fused import FusedForward
from sluicegate.costs import MacModel
from sluicegate.errors import InputError
from sluicegate.gates import Estimator, Gate, GateRecord, GateRecords, GateSite, Strategy
from sluicegate.graph import names_of, output_of, rename
from sluicegate.ops import read_copy

_NAMES = "_names of nodes"


class GatedOutput(NamedTuple):
    """What the plain network returns, and what the gates decided."""

    output: Any
    gates: GateRecords


class GatedModel(nn.Module):
    """A network with gates; `gate_model` makes it.

    Args:
        network: the gated graph, which returns (output, {site name: (logits, open)}).
        input_shapes: shape of each input; the first dimension, the number of images, is free.

    Attributes:
        network: the graph; the plain network's modules keep their names in it.
        gates: the gates, by the name of what they gate.
        sites: site name -> site, in the order of execution.
        macs: the MACs of the network as a function of its gates.
    """

    def __init__(self, network: fx.GraphModule, input_shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.network = network
        self.macs = MacModel(network)
        by_name = {site.name: site for gate in self.gates.values() for site in gate.sites}
        self.sites: dict[str, GateSite] = {name: by_name[name] for name in _recorded(network)}
        self._input_shapes = tuple(input_shapes)
        self._run = FusedForward(network)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each input; the first dimension, the number of images, is free."""
        return self._input_shapes

    @property
    def gates(self) -> dict[str, Gate]:
        """The gates by name."""
        gates = cast(nn.ModuleDict, self.network.gates)
        return {name: gate for name, gate in gates.items() if isinstance(gate, Gate)}

    def estimator_of(self, site: str) -> Estimator:
        """The estimator of the gates of a site."""
        return next(
            estimator
            for gate in self.gates.values()
            for its, estimator in zip(gate.sites, gate.estimators, strict=True)
            if its.name == site
        )

    @property
    def strategy(self) -> Strategy:
        """How gates decide in evaluation (`AlwaysOn`: in training too); the same for all gates."""
        return next(iter(self.gates.values())).strategy

    @strategy.setter
    def strategy(self, strategy: Strategy) -> None:
        if not isinstance(strategy, Strategy):
            raise InputError(f"strategy: {strategy!r} must be a Strategy, e.g. Threshold(0.5)")
        for gate in self.gates.values():
            gate.strategy = strategy

    def set_progress(self, progress: float) -> None:
        """Set the progress of training, in [0, 1], for scheduled temperatures and noise."""
        for gate in self.gates.values():
            for estimator in gate.estimators:
                estimator.set_progress(progress)

    def gate_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the gates; train them without weight decay (DLCG section 4.1)."""
        return cast(nn.Module, self.network.gates).parameters()

    def network_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the plain network."""
        return (p for name, p in self.network.named_parameters() if not name.startswith("gates."))

    def forward(self, *inputs: Tensor, return_gates: bool = False) -> Any:
        """Run the network.

        Args:
            inputs: what the plain network takes.
            return_gates: return a `GatedOutput`, which has the output and the decisions, instead of the output.

        Raises:
            InputError: an input has another shape than the network was gated for.
        """
        self._check(inputs)
        output, decisions = self._run(*inputs)
        if not return_gates:
            return output
        return GatedOutput(
            output,
            GateRecords({name: GateRecord(self.sites[name], *pair) for name, pair in decisions.items()}),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), _NAMES: names_of(self.network.graph)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of copies and of what is unpickled: their graph is read anew, so that it can be lowered."""
        super().__setstate__({name: value for name, value in state.items() if name != _NAMES})
        rename(self.network, state[_NAMES])
        like = next((p for p in self.parameters() if p.is_floating_point()), torch.empty(0))
        read_copy(self.network, [torch.empty(shape, dtype=like.dtype, device="meta") for shape in self._input_shapes])
        output_of(self.network.graph).meta["gated"] = True

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs) != len(self._input_shapes):
            raise InputError(f"inputs: {len(inputs)} given, the network takes {len(self._input_shapes)}")
        for x, expected in zip(inputs, self._input_shapes, strict=True):
            if x.shape[1:] != expected[1:]:
                raise InputError(
                    f"inputs: shape {tuple(x.shape)} is not (N, {', '.join(map(str, expected[1:]))}), for which the "
                    "network was gated; gate it again with example_inputs of that shape"
                )


def returned_by(output: fx.Node) -> Any:
    """The network's own result, from the output node of a gated or plain graph."""
    result = output.args[0]
    gated = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict) and output.meta.get("gated")
    return result[0] if gated else result  # type: ignore[index]


def _recorded(network: fx.GraphModule) -> list[str]:
    """The sites' names in the order of the records that the graph returns."""
    return list(cast(Any, output_of(network.graph).args[0])[1])
