"""Network -> Program: the graph as the engine runs it.

    layers       with norms, sums and activations folded in (`fusion.py`)
    masks        removed: a value's channel map has the flags that close its channels, an op has the layer gates that
                 skip it; a `select` is inserted if an op cannot have the map that its reader needs
    heads        ordinary ops, skipped together with their gates
    exits        the classifier, which runs if the gate is closed, then `exit`

The flags that close a value come from `costs.liveness`, from which `MacModel` counts, too. How an op becomes an op of
the program is in its room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.costs import liveness
from sluicegate.errors import InputError
from sluicegate.gates import Gate, GateSite, Strategy, Threshold, TopK
from sluicegate.gates.estimators import Estimator
from sluicegate.graph import module_of, shape
from sluicegate.lowering.exportable import refuse_unknown
from sluicegate.lowering.fusion import fuse, is_vector_layer, part_of_sum, summands
from sluicegate.lowering.outputs import outputs_of
from sluicegate.lowering.program_builder import ProgramBuilder
from sluicegate.lowering.values import Values, plane_sides
from sluicegate.lowering.weights import as_tensors, folded_weights
from sluicegate.ops import Call, call_of, channel_count, kind_of, read_network, room_of
from sluicegate.ops.frame.links import OPEN
from sluicegate.ops.frame.room import Weight
from sluicegate.ops.multiply import per_pixel
from sluicegate_runtime import Artifact, Preprocessing, Program
from sluicegate_runtime.program import Attribute, Value

Tensors = Mapping[str, Weight] | Mapping[str, Tensor]

_WINDOW = ("stride", "padding", "extra_padding", "dilation", "groups")


@dataclass(frozen=True)
class Lowered:
    """A program, and which node of the network each of its values comes from."""

    artifact: Artifact
    nodes: Mapping[str, fx.Node]

    @property
    def program(self) -> Program:
        """The program itself."""
        return self.artifact.program

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """Name -> float32 array."""
        return self.artifact.tensors


def lower(
    net: nn.Module,
    example_inputs: Tensor | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
) -> Lowered:
    """Lower a network to a program.

    Args:
        net: a gated network, or a plain one with `example_inputs`; lowered as it is in evaluation.
        example_inputs: [1, C, H, W], for a plain network.
        preprocessing: from an image to the input; travels with the program.
        classes: names of the outputs.

    Raises:
        InputError: an op of the network is none of the engine's.
    """
    if isinstance(net, GatedModel):
        graph_module = net.network
    elif example_inputs is None:
        raise InputError("example_inputs: None, but a plain network needs them to be traced")
    else:
        graph_module = read_network(net, example_inputs)
    refuse_unknown(graph_module)
    (source,) = (node for node in graph_module.graph.nodes if node.op == "placeholder")
    lowering = Lowering(graph_module)
    with torch.no_grad():
        outputs = lowering.run()
    built = lowering.program
    program = Program(
        lowering.names[source],
        outputs,
        tuple(built.values.values()),
        tuple(built.ops),
        preprocessing,
        tuple(classes),
    )
    nodes = {value: node for node, value in lowering.names.items()}  # of a fused layer, the last of its nodes
    return Lowered(Artifact(program, built.tensors), nodes)


class Lowering:
    """One walk over the graph; `names` says which of the program's values holds what a node computes."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module = graph_module
        self.live = liveness(graph_module)
        self.sites = {site.name: site for _, gate in _gates(graph_module) for site in gate.sites}
        self.program = ProgramBuilder(self.live.numbers, frozenset(self.sites))
        self.values = Values(self.live, self.program)
        self.names = self.values.names
        self._decided: set[str] = set()
        self._logits: dict[str, str] = {}
        self._note_boosted()
        self.fused = fuse(graph_module.graph, self.live)

    def run(self) -> dict[str, str]:
        """Lower every node; returns the outputs, name -> value."""
        for node in self.graph_module.graph.nodes:
            if node.op == "output":
                return outputs_of(self, node)
            if not self._waits(node):
                self._lower(node)
        raise InputError("net: its graph has no output")

    # What rooms ask for.

    def module(self, node: fx.Node) -> Any:
        """The module that a node calls."""
        return module_of(self.graph_module, node)

    def alias(self, node: fx.Node, x: fx.Node) -> None:
        """Let a node's value be that of another."""
        self.names[node] = self.names[x]

    def emit(
        self,
        node: fx.Node,
        kind: str,
        inputs: Sequence[fx.Node],
        attributes: Mapping[str, Attribute],
        tensors: Tensors | None = None,
        planes: bool = False,
        ungated: bool = False,
    ) -> None:
        """An op that computes what a node does, skipped and with channels closed as the node is.

        Args:
            planes: its inputs, and what it makes, are [C, H, W] even where there is one pixel.
            ungated: none of its inputs may lack channels.
        """
        made = np.full(channel_count(node), OPEN) if ungated else self.live.map_of(node)
        reads = self.values.inputs_as(node, inputs, made, planes, ungated)
        first = self.program.values[reads[0]].shape if reads else ()
        out = self.values.shape_made(node, kind, first, planes)
        value = self.program.tensor(node.name, out, made)
        self.values.add(node, kind, reads, value, attributes, self._read_tensors(tensors or {}))
        self.names[node] = value

    def convolution(self, node: fx.Node, call: Call) -> None:
        """A layer with all that is folded into it, once its last member is reached."""
        fused = self.fused[node]
        head, tail = fused.call, fused.tail
        x = head.inputs[0]
        weight, bias = folded_weights(self.graph_module, fused)
        activation = call_of(fused.activation).attributes if fused.activation else {}  # type: ignore[union-attr]
        applied = {"activation": activation["function"], "alpha": activation["alpha"]} if activation else {}
        made = self.live.map_of(tail)
        if is_vector_layer(fused.head):
            value = self.program.tensor(tail.name, (len(weight),), made)
            reads = (self.values.vector(self.names[x]),)
            self.values.add(fused.head, "linear", reads, value, applied, as_tensors(weight.flatten(1), bias))
        else:
            has = self._window(head)
            weight = weight if weight.dim() == 4 else weight[:, :, None, None]
            reads = (
                self.values.seen(x, head),
                *((self.values.plane(fused.residual, self.names[fused.residual]),) if fused.residual else ()),
            )
            value = self.program.tensor(tail.name, (len(weight), *plane_sides(tail)), made)
            self.values.add(fused.head, "conv", reads, value, has | applied, as_tensors(weight, bias))
        for member in fused.members[fused.members.index(fused.head) :]:
            self.names[member] = value

    def difference(self, node: fx.Node, call: Call) -> None:
        """Two logits a gate become one: those of a linear layer went into its weights, learned ones are known here."""
        said = call_of(call.inputs[0])
        if said is None or said.kind != "constant":
            raise InputError(
                f"net: {node.name!r} has two logits a gate that do not come from a linear layer; the engine needs one"
            )
        pairs = said.tensors["bias"].read(self.graph_module)
        self.emit(node, "constant", (), {}, {"bias": pairs[1::2] - pairs[::2]})

    def sum(self, node: fx.Node) -> None:
        """A sum; where all of one may be skipped, it is left to the larger sum that it is part of."""
        if not part_of_sum(node):
            self.emit(node, "add", summands(node), {})

    def fold(self, node: fx.Node, call: Call) -> None:
        """A sum of slices."""
        x, size = self.names[call.inputs[0]], channel_count(node)
        flags, sides = self.program.maps[x], self.program.values[x].shape[1:]
        parts = []
        for start in range(0, len(flags), size):
            part = self.program.tensor(f"{node.name}.part", (size, *sides), flags[start : start + size])
            self.values.add(node, "slice", (x,), part, {"start": start, "size": size}, {})
            parts.append(part)
        value = self.program.tensor(node.name, (size, *sides), self.live.map_of(node))
        self.values.add(node, "add", tuple(parts), value, {}, {})
        self.names[node] = value

    def reorder(self, node: fx.Node, call: Call) -> None:
        """Slices, one behind the other."""
        whole = self.names[call.inputs[0]]
        x = self.values.opened(node, whole)
        sides, parts = self.program.values[x].shape[1:], []
        for start, size in call.attributes["runs"]:
            parts.append(self.program.tensor(f"{node.name}.part", (size, *sides)))
            self.values.add(node, "slice", (x,), parts[-1], {"start": start, "size": size}, {})
        self.names[node] = self.program.tensor(node.name, (channel_count(node), *sides))
        self.values.add(node, "concat", tuple(parts), self.names[node], {}, {})

    def product(self, node: fx.Node, call: Call) -> None:
        """A value times another of its shape, or a factor for each channel or pixel."""
        x, factor = call.inputs
        made = self.live.map_of(node)
        read = self.values.closed_as(node, self.names[x], made)
        by = self.names[factor]
        if per_pixel(call):
            by = self.values.opened(node, self.values.plane(factor, by))
        elif shape(x) == shape(factor):
            by = self.values.like(by, read)
        else:
            by = self.values.vector(by)
        same = len(self.program.maps[by]) == len(made) and (self.program.maps[by] == made).all()
        by = by if same else self.values.opened(node, by)
        value = self.program.tensor(node.name, self.program.values[read].shape, made)
        self.values.add(node, "multiply", (read, by), value, {}, {})
        self.names[node] = value

    def select(self, node: fx.Node, call: Call) -> None:
        """Nothing, where the value's channels were closed as they were computed; else they are picked out here."""
        site = self.live.masks[node]
        value = self.values.closed_as(node, self.names[call.inputs[0]], self.live.map_of(node))
        if node.meta.get("boosted"):
            boosted = self.program.tensor(
                f"{node.name}.boosted", self.program.values[value].shape, self.live.map_of(node)
            )
            self.values.add(node, "multiply", (value, self._logits[site.name]), boosted, {}, {})
            value = boosted
        self.names[node] = value

    def gate(self, node: fx.Node, call: Call) -> None:
        """The decisions of one gate, site by site; what is said of a layer's channels is skipped with the layer."""
        gate = self.module(node)
        for site, said, estimator in zip(gate.sites, call.inputs, gate.estimators, strict=True):
            self._ensure(said)
            logits = self.values.opened(said, self.values.vector(self.names[said]))
            self.program.values[site.name] = Value(site.name, (site.gates,), "gate")
            when = self.values.innermost(self.live.sites_when.get(site.name, frozenset()))
            rule = _rule(gate.strategy, estimator, site)
            self.program.add("gate", (logits,), site.name, rule, {}, when, self.values.unless(node))
            self._logits[site.name] = logits
            self._decided.add(site.name)

    # The walk.

    def _lower(self, node: fx.Node) -> None:
        room, call = room_of(node), call_of(node)
        if node.op == "placeholder":
            self.names[node] = self.program.tensor(node.name, shape(node)[1:])
        elif node in self.fused:
            if node is self.fused[node].tail:
                self.convolution(node, call)  # type: ignore[arg-type]
        elif room and call and room.lower and _is_read(node):
            room.lower(self, node, call)
        if node in self.live.exits:
            gate = self.live.exits[node].name
            self.program.add("exit", (self.values.vector(self.names[node]), gate), None)

    def _waits(self, node: fx.Node) -> bool:
        """Whether a node of a head is skipped by a gate that has not decided yet; its own gate asks for it then."""
        head = self.fused[node].head if node in self.fused else node
        return node in self.live.deciding and not self.live.when[head] <= self._decided

    def _ensure(self, node: fx.Node) -> None:
        if node in self.names:
            return
        members = self.fused[node].members if node in self.fused else [node]
        for member in members:
            for x in member.all_input_nodes:
                if x not in members and x.op.startswith("call"):
                    self._ensure(x)
        for member in members:
            self._lower(member)

    def _window(self, head: Call) -> dict[str, Attribute]:
        if head.kind == "conv":
            return {name: head.attributes[name] for name in _WINDOW}
        if head.kind == "channel_affine":
            return {"groups": channel_count(head.inputs[0]), "counted": False}
        return {}

    def _read_tensors(self, tensors: Tensors) -> dict[str, Tensor]:
        return {role: self._tensor(role, tensor) for role, tensor in tensors.items()}

    def _tensor(self, role: str, tensor: Weight | Tensor) -> Tensor:
        """A constant may be kept in any shape; all roles but the weight are lists of numbers."""
        if isinstance(tensor, Tensor):
            return tensor
        kept = tensor.read(self.graph_module)
        return kept if role == "weight" else kept.flatten()

    def _note_boosted(self) -> None:
        """Mark the masks that scale the channels that they let through."""
        boosting = {
            site.name
            for _, gate in _gates(self.graph_module)
            for site, estimator in zip(gate.sites, gate.estimators, strict=True)
            if isinstance(estimator, TopK) and estimator.boost
        }
        for mask, site in self.live.masks.items():
            mask.meta["boosted"] = site.name in boosting


def _is_read(node: fx.Node) -> bool:
    """Whether anybody needs a node's value in the program."""
    only = next(iter(node.users)) if len(node.users) == 1 else None
    halved = kind_of(node) == "constant" and only is not None and kind_of(only) == "difference"
    return kind_of(node) == "gate" or (bool(node.users) and not halved)


def _gates(graph_module: fx.GraphModule) -> list[tuple[fx.Node, Gate]]:
    nodes = graph_module.graph.nodes
    return [(node, gate) for node in nodes if isinstance(gate := module_of(graph_module, node), Gate)]


def _rule(strategy: Strategy, estimator: Estimator, site: GateSite) -> dict[str, Attribute]:
    """How a gate decides: the k largest logits are open, or those above the threshold."""
    if not isinstance(strategy, Threshold):
        raise InputError(f"strategy: {strategy} cannot be exported; the engine's gates decide by Threshold(t)")
    rule: dict[str, Attribute] = {"keep_open": site.keep_open} if site.keep_open else {}
    if isinstance(estimator, TopK):
        return rule | {"top_k": estimator.count(site.gates)}
    return rule | {"threshold": strategy.logit}
