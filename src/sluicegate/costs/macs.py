"""Multiply-adds, exactly, image by image.

Legend: N images, G gates.

One MAC is one multiply-add (formulas: the rooms of `ops/`). A channel counts as an open input if no gate makes it
zero, and as an open output if something still reads it. In a skipped branch nothing counts, and no head of a gate
inside it. For an image that leaves at an exit, nothing after the exit counts. The exit's gate counts for all images
that reach it, its classifier for those that leave there.

The network's own pools, norms and additions are listed by `by_module()`, but they are not in `dense` and not in the
count: norms fold into convolutions, and the others multiply nothing. The same holds for a gater network; its
convolutions and linear layers count as work of the gates. The global pooling of gate heads counts, once for all heads
that average the same value. (DLCG leaves it out: its overhead of "less than 0.03 %" is the linear layers of the heads
alone, 0.025 % in ResNet-20; with the pooling it is 0.27 %.)
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from sluicegate.costs.terms import NETWORK, Term, terms_of
from sluicegate.errors import InputError
from sluicegate.gates import GateRecords
from sluicegate.ops import is_read, read_network

_COUNTED = (*NETWORK, "gate", "exit")


class ModuleMacs(NamedTuple):
    """MACs of one module for one image with every gate open; `kind` is conv, linear, matmul, gate, exit (an exit's
    classifier), pool, norm or add."""

    kind: str
    dense: int


class MacModel:
    """The MACs of a network as a function of its gates.

    Args:
        net: a plain network, or a graph that has been read, with or without gates.
        example_inputs: an input of a plain network.
        leaf_modules: see `read_network`.

    Raises:
        InputError: the network cannot be traced, or has an op with weights for which there is no MAC formula.

    Example:
        >>> model = MacModel(net, torch.zeros(1, 3, 32, 32))
        >>> model.dense
        >>> gated.macs(gated(images, return_gates=True).gates)  # [N]
    """

    def __init__(
        self,
        net: nn.Module,
        example_inputs: Tensor | tuple[Tensor, ...] = (),
        leaf_modules: Collection[type[nn.Module]] = (),
    ) -> None:
        graph_module = net if is_read(net) else read_network(net, example_inputs, leaf_modules)
        assert isinstance(graph_module, fx.GraphModule)
        self.terms: tuple[Term, ...] = tuple(terms_of(graph_module))

    @property
    def dense(self) -> int:
        """MACs of the plain network for one image: convolutions and linear layers, no gates."""
        return sum(term.dense for term in self.terms if term.kind in NETWORK)

    def by_module(self) -> dict[str, ModuleMacs]:
        """The MACs of every module with all gates open, in order of execution; pools, norms and additions as separate
        rows (see above)."""
        found: dict[str, ModuleMacs] = {}
        for term in self.terms:
            before = found.get(term.module, ModuleMacs(term.kind, 0))
            found[term.module] = ModuleMacs(term.kind, before.dense + term.dense)
        return found

    def __call__(self, gates: GateRecords) -> Tensor:
        """MACs that each image costs, gate heads included.

        Args:
            gates: the records of one forward pass.

        Returns:
            [N]: int64 and exact if every decision is 0 or 1 and has no gradient; otherwise float and differentiable.

        Raises:
            InputError: there are no records, or none for a site that the cost depends on.
        """
        return torch.stack(list(self.macs_by_module(gates).values())).sum(0)

    def macs_by_module(self, gates: GateRecords) -> dict[str, Tensor]:
        """The same, module by module: name -> [N]."""
        if not gates:
            raise InputError("gates: no records; the MACs of a network without gates are its `dense`")
        opens = _countable({name: record.open for name, record in gates.items()})
        image = next(iter(opens.values()))[:, 0]
        found: dict[str, Tensor] = {}
        for term in self.terms:
            if term.kind in _COUNTED:
                cost = torch.as_tensor(term.cost(opens), device=image.device).expand_as(image)
                found[term.module] = found[term.module] + cost if term.module in found else cost
        return found


def _countable(opens: dict[str, Tensor]) -> dict[str, Tensor]:
    """[N, G] each: as they are where a gradient is wanted or a decision is soft, else whole numbers, so that large sums
    stay exact."""
    if any(is_open.requires_grad for is_open in opens.values()):
        return opens
    soft = [((is_open != 0) & (is_open != 1)).any() for is_open in opens.values()]
    return opens if torch.stack(soft).any() else {name: is_open.to(torch.int64) for name, is_open in opens.items()}
