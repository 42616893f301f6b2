"""Layer gates that share one recurrent state.

Legend: F features, D hidden neurons.
"""

import copy
from dataclasses import dataclass, field

from torch import fx, nn

from sluicegate.convert.gating import Gating, LayerGating, Masked, Placement, branches_of
from sluicegate.errors import InputError
from sluicegate.gates import (
    Estimator,
    Gate,
    LogitHead,
    LstmCell,
    PooledFeatures,
    StraightThrough,
    hidden_of,
    start_open,
)
from sluicegate.graph import copy_in, example_of, note_shape
from sluicegate.ops import channel_count, read_again, read_network
from sluicegate.sites import Branch


@dataclass(frozen=True)
class RecurrentGating(Gating):
    """One gate for each residual branch but the first, all of them steps of one LSTM (SkipNet; `gates/recurrent.py`).

    The gate of a skipped branch is still evaluated, so the state passes through all gates.

    Args:
        estimator: copied for each branch; one logit a gate.
        features: F, numbers that each gate computes from the input of its branch.
        hidden: D, of the LSTM.
        initial_open_rate: probability with which a gate starts open; the LSTM's initial states change it slightly.
    """

    estimator: Estimator = field(default_factory=StraightThrough)
    features: int = 10
    hidden: int = 10
    initial_open_rate: float = 0.97

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        if self.estimator.logits_per_gate != 1:
            raise InputError(f"estimator: {type(self.estimator).__name__} needs more than the one logit of such a gate")
        branches = branches_of(graph_module)[1:]
        if not branches:
            raise InputError("net: it has a single residual branch, which always runs, so there is no layer to gate")
        self._add_shared(graph_module)
        placed, state = [], None
        for branch in branches:
            state, logit = self._step(graph_module, branch, state)
            placed.append(self._placement(branch, logit))
        return placed

    def _add_shared(self, graph_module: fx.GraphModule) -> None:
        graph_module.add_submodule("gates.lstm", LstmCell(self.features, self.hidden))
        logit = nn.Linear(self.hidden, 1)
        start_open(self.initial_open_rate, logit.bias)
        graph_module.add_submodule("gates.logit", logit)

    def _step(self, graph_module: fx.GraphModule, branch: Branch, state: fx.Node | None) -> tuple[fx.Node, fx.Node]:
        """Add what decides about one branch right after what it reads; returns the nodes of its state and logit."""
        graph, fork = graph_module.graph, branch.fork
        target = f"gates.{branch.name.replace('.', '_')}_features"
        pooled = read_network(PooledFeatures(channel_count(fork), self.features), example_of(fork))
        graph_module.add_submodule(target, pooled)
        behind = fork.next
        (features,) = copy_in(graph_module, target, pooled, [fork], before=behind)
        with graph.inserting_before(behind):
            state = graph.call_module("gates.lstm", (features,) if state is None else (features, state))
            hidden = graph.call_function(hidden_of, (state,))
            logit = graph.call_module("gates.logit", (hidden,))
        for node, side in {state: 2 * self.hidden, hidden: self.hidden, logit: 1}.items():
            note_shape(node, features, side)
        hidden.meta["is_wrapped"] = True  # unpickling, which traces the code again, does not look into it
        read_again(graph_module)
        return state, logit

    def _placement(self, branch: Branch, logit: fx.Node) -> Placement:
        site = LayerGating().site(branch)
        gate = Gate(LogitHead(), [site], [copy.deepcopy(self.estimator)], self.initial_open_rate)
        return Placement(branch.name, logit, ((Masked(branch.end),),), gate)
