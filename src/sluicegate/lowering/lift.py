"""Program -> nn.Module: to run a program in other engines for comparison, or to lower it again.

Only for programs without gates, because PyTorch has no closed channels (see `sluicegate_runtime.without_gates`).
"""

import operator
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import fx, nn

from sluicegate.errors import InputError
from sluicegate.ops import ROOMS, Joining, Written, activation_module
from sluicegate_runtime import Artifact, Op, attributes_of


def lift(artifact: Artifact) -> fx.GraphModule:
    """A program as a module, in evaluation: [N, C, H, W] -> what the program returns.

    Raises:
        InputError: the program has gates, or several outputs.
    """
    if len(artifact.program.outputs) > 1:
        raise InputError(f"lift: the program has {len(artifact.program.outputs)} outputs; one can be lifted")
    lifting = _Lifting(artifact)
    for op in artifact.program.ops:
        lifting.add(op)
    return lifting.finish()


class _Lifting:
    """One walk over the ops; `nodes` says which node holds what value."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.shapes = {value.name: value.shape for value in artifact.program.values}
        self.graph = fx.Graph()
        self.modules: dict[str, nn.Module] = {}
        self.nodes = {artifact.program.input: self.graph.placeholder("x")}

    def add(self, op: Op) -> None:
        """The nodes of one op: its module, what is added to that, an activation."""
        reads = [self.nodes[name] for name in op.inputs]
        has = dict(attributes_of(op))
        module = self._module(op, has)
        taken = reads if isinstance(module, Joining) else reads[:1]
        # At once behind what it takes: of two convolutions under a sum the first one takes it in again.
        with self.graph.inserting_after(taken[-1]) if len(taken) < len(reads) else nullcontext():
            node = self._call(module, *taken)
        for read in reads[len(taken) :]:
            node = self.graph.call_function(operator.add, (node, read))
        function = has.get("activation", "none")
        applied = function != "none"
        self.nodes[str(op.output)] = self._call(activation_module(function, has["alpha"]), node) if applied else node

    def finish(self) -> fx.GraphModule:
        """The graph with its output."""
        (output,) = self.artifact.program.outputs.values()
        self.graph.output(self.nodes[output])
        return fx.GraphModule(self.modules, self.graph, "Lifted").eval().requires_grad_(False)

    def _module(self, op: Op, has: Mapping[str, Any]) -> nn.Module:
        """What its room makes of an op."""
        tensors = {role: torch.tensor(self.artifact.tensors[name]) for role, name in op.tensors.items()}
        make = ROOMS[op.kind].lift
        module = make(Written(has, tensors, self.shapes[op.inputs[0]], self.shapes[str(op.output)])) if make else None
        if module is None:
            raise InputError(f"lift: op {op.name!r} ({op.kind}) has no module in torch, or belongs to gates")
        return module

    def _call(self, module: nn.Module, *reads: fx.Node) -> fx.Node:
        name = f"{type(module).__name__.lower()}_{len(self.modules)}"
        self.modules[name] = module
        return self.graph.call_module(name, reads)
