"""Multiply-adds, exactly, image by image.

Legend: N images, G gates.

One MAC is one multiply-add (formulas: `costs/formulas.py`). A channel counts as an open input where no gate made it
zero and as an open output where somebody still reads it. Nothing inside a skipped branch counts, and neither does the
channel half of a joint head there: the layer gate is looked at first. Nothing behind an exit counts for an image that
leaves there; the exit's gate counts for all that come to it, its classifier for those that leave.

The network's own pools, norms and additions are listed by `by_module()` and are no part of `dense` or `macs()`: norms
fold into convolutions, the others multiply nothing. The same holds for a gater network, whose convolutions and linear
layers count as work of the gates. The global pooling of gate heads does count, once where several heads average the
same value, at the first of them. (DLCG leaves it out: its overhead of "less than 0.03 %" is the linear layers of the
heads alone, 0.025 % in ResNet-20; with the pooling it is 0.27 %.)
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from sluicegate.costs.formulas import Term, head_macs, op_term
from sluicegate.costs.liveness import NO_LAYER, Liveness, liveness
from sluicegate.errors import InputError
from sluicegate.gates import Gate, GateRecords, LogitHead
from sluicegate.graph import module_of, shape, trace

_NETWORK = ("conv", "linear", "matmul")
_COUNTED = (*_NETWORK, "gate", "exit")


class ModuleMacs(NamedTuple):
    """MACs of one module for one image with every gate open; `kind` is conv, linear, matmul, gate, exit (an exit's
    classifier), pool, norm or add."""

    kind: str
    dense: int


class MacModel:
    """The MACs of a network as a function of its gates.

    Args:
        net: a plain network, or a traced (and perhaps gated) graph.
        example_inputs: what a plain network is called with.
        leaf_modules: see `trace`.

    Raises:
        InputError: the network cannot be traced, or has a weight matrix that no formula covers.
    """

    def __init__(
        self,
        net: nn.Module,
        example_inputs: Tensor | tuple[Tensor, ...] = (),
        leaf_modules: tuple[type[nn.Module], ...] = (),
    ) -> None:
        graph_module = net if isinstance(net, fx.GraphModule) else trace(net, example_inputs, leaf_modules)
        self.terms: tuple[Term, ...] = tuple(_terms(graph_module))

    @property
    def dense(self) -> int:
        """MACs of the plain network for one image: convolutions and linear layers, no gates."""
        return sum(term.dense for term in self.terms if term.kind in _NETWORK)

    def by_module(self) -> dict[str, ModuleMacs]:
        """Every module's share with all gates open, in order of execution; pools, norms and additions apart (see
        above)."""
        found: dict[str, ModuleMacs] = {}
        for term in self.terms:
            before = found.get(term.module, ModuleMacs(term.kind, 0))
            found[term.module] = ModuleMacs(term.kind, before.dense + term.dense)
        return found

    def macs(self, gates: GateRecords) -> Tensor:
        """MACs that each image costs, gate heads included.

        Args:
            gates: the records of one forward pass.

        Returns:
            [N]: int64, exact, where the decisions carry no gradient; else float, differentiable.

        Raises:
            InputError: there are no records, or none for a site that the cost depends on.
        """
        return torch.stack(list(self.macs_by_module(gates).values())).sum(0)

    def macs_by_module(self, gates: GateRecords) -> dict[str, Tensor]:
        """`macs`, module by module: name -> [N]."""
        if not gates:
            raise InputError("gates: no records; the MACs of a network without gates are its `dense`")
        opens = {name: _countable(record.open) for name, record in gates.items()}
        image = next(iter(opens.values()))[:, 0]
        found: dict[str, Tensor] = {}
        for term in self.terms:
            if term.kind in _COUNTED:
                cost = _cost(term, opens).expand_as(image) if term.sites else torch.full_like(image, term.dense)
                found[term.module] = found[term.module] + cost if term.module in found else cost
        return found


def _countable(is_open: Tensor) -> Tensor:
    """[N, G]: as it is where a gradient is wanted, else whole numbers, so that large sums stay exact."""
    return is_open if is_open.requires_grad else is_open.to(torch.int64)


def _cost(term: Term, opens: dict[str, Tensor]) -> Tensor:
    missing = sorted(term.sites - opens.keys())
    if missing:
        raise InputError(f"gates: no record for site {missing[0]!r}, on which the cost of {term.module!r} depends")
    cost = term.unit * _open_pairs(term, opens)
    for layer in sorted(term.layers):
        cost = cost * opens[layer][:, 0]
    for leave in sorted(term.exits):
        cost = cost * (1 - opens[leave][:, 0])
    return torch.as_tensor(cost)


def _open_pairs(term: Term, opens: dict[str, Tensor]) -> Tensor | int:
    """Pairs of an open input and an open output channel of the same group: [N], or a number if no channel gate has a
    say."""
    if term.groups == 1:
        return _count(term.inputs_site, term.inputs, opens) * _count(term.outputs_site, term.outputs, opens)
    if term.inputs_site == term.outputs_site and term.groups == term.inputs:
        return _count(term.inputs_site, term.inputs, opens)  # depthwise, both sides closed by the same gates
    inputs = _by_group(term.inputs_site, term.inputs, term.groups, opens)
    outputs = _by_group(term.outputs_site, term.outputs, term.groups, opens)
    return (inputs * outputs).sum(-1)


def _count(site: str | None, channels: int, opens: dict[str, Tensor]) -> Tensor | int:
    return channels if site is None else opens[site].sum(1) * (channels // opens[site].shape[1])


def _by_group(site: str | None, channels: int, groups: int, opens: dict[str, Tensor]) -> Tensor:
    """Open channels in each group: [N, groups], or [1, groups] where no gate has a say."""
    if site is None:
        return next(iter(opens.values())).new_full((1, groups), channels // groups)
    per_channel = opens[site].repeat_interleave(channels // opens[site].shape[1], dim=1)
    return per_channel.unflatten(1, (groups, -1)).sum(-1)


def _terms(graph_module: fx.GraphModule) -> Iterator[Term]:
    live = liveness(graph_module)
    for node in graph_module.graph.nodes:
        for term in _terms_of(graph_module, node, live):
            yield replace(term, exits=live.passed[node])


def _terms_of(graph_module: fx.GraphModule, node: fx.Node, live: Liveness) -> Iterator[Term]:
    if isinstance(gate := module_of(graph_module, node), Gate):
        yield from _gate_terms(node, gate, live)
    elif term := op_term(graph_module, node):
        if term.module.startswith("gates.") and term.kind in _NETWORK:
            term = replace(term, kind="gate")  # ops that gates share are gates' overhead
        channel_sites = (
            {
                "inputs_site": live.zeroed.get(node.all_input_nodes[0]),
                "outputs_site": live.needed.get(node),
            }
            if term.kind in ("conv", "linear", "gate")  # a gate's or exit's op may read channels that gates closed
            else {}
        )
        kind = _kind(node, term.kind, live)
        yield replace(term, kind=kind, layers=live.skipped[node], **channel_sites)


def _kind(node: fx.Node, kind: str, live: Liveness) -> str:
    """Whose work an op is, if it is not the plain network's."""
    if kind not in _NETWORK:
        return kind
    if live.skipped[node] & {site.name for site in live.exits.values()}:
        return "exit"
    return "gate" if node in live.deciding else kind


def _gate_terms(node: fx.Node, gate: Gate, live: Liveness) -> Iterator[Term]:
    if isinstance(gate.head, LogitHead):
        return  # ops of the graph made its logits, and each has a term of its own
    read, layers = node.all_input_nodes[0], live.skipped[node]
    pooling, hidden, outputs, between = head_macs(gate.head, shape(read))
    reading = Term("", "gate", 1, inputs=shape(read)[1], inputs_site=live.zeroed.get(read), layers=layers)
    if node not in live.averaged:
        yield replace(reading, module=f"{node.target}.pool", unit=pooling)
    yield replace(reading, module=f"{node.target}.hidden", unit=hidden)
    if between:
        yield Term(f"{node.target}.between", "gate", between, layers=layers)
    own_layer = frozenset({gate.sites[0].name}) if gate.sites[0].kind == "layer" else NO_LAYER
    for site, cost, estimator in zip(gate.sites, outputs, gate.estimators, strict=True):
        closed_by = layers | own_layer if site.kind == "channel" else layers
        # Two logits of one gate are one in evaluation: their difference is linear in the hidden layer too.
        yield Term(f"{node.target}.outputs", "gate", cost // estimator.logits_per_gate, layers=closed_by)
