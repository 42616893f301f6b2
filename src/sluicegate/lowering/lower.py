"""Network -> Program: the graph as the engine runs it.

    layers       with norms, sums and activations folded in (`fusion.py`)
    masks        gone: a value's channel map says which flags close its channels, an op which layer gates skip it; where
                 an op cannot have the map that its reader wants there is a `select`
    heads        ops like any other, skipped with the gates that they serve
    exits        the classifier, which runs where the gate is closed, then `exit`

Which flags close a value is read off `costs.liveness`, the same answers from which `MacModel` counts. How an op becomes
one of the program's stands in its room.
"""

import math
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
from sluicegate.lowering.weights import as_tensors, folded_weights
from sluicegate.ops import Call, call_of, channel_count, kind_of, pixel_sides, read_network, room_of
from sluicegate.ops.frame.links import OPEN, UNREAD, Flags
from sluicegate.ops.frame.room import Weight
from sluicegate.ops.multiply import per_pixel
from sluicegate_runtime import Artifact, Preprocessing, Program
from sluicegate_runtime.program import Attribute, Value

Tensors = Mapping[str, Weight] | Mapping[str, Tensor]


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
        self.names: dict[fx.Node, str] = {}
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
        reads = self._inputs_as(node, inputs, made, planes, ungated)
        first = self.program.values[reads[0]].shape if reads else ()
        out = self._shape_made(node, kind, first, planes)
        value = self.program.tensor(node.name, out, made)
        self._add(node, kind, reads, value, attributes, self._read_tensors(tensors or {}))
        self.names[node] = value

    def convolution(self, node: fx.Node, call: Call) -> None:
        """A layer with all that is folded into it, once its last member is reached."""
        fused = self.fused[node]
        head = call_of(fused.head)
        assert head is not None
        x, tail = head.inputs[0], fused.tail
        weight, bias = folded_weights(self.graph_module, fused)
        activation = call_of(fused.activation).attributes if fused.activation else {}  # type: ignore[union-attr]
        applied = {"activation": activation["function"], "alpha": activation["alpha"]} if activation else {}
        made = self.live.map_of(tail)
        if is_vector_layer(fused.head):
            value = self.program.tensor(tail.name, (len(weight),), made)
            self._add(
                fused.head, "linear", (self.vector(self.names[x]),), value, applied, as_tensors(weight.flatten(1), bias)
            )
        else:
            has = self._window(head)
            weight = weight if weight.dim() == 4 else weight[:, :, None, None]
            reads = (
                self._seen(x, head),
                *((self.plane(fused.residual, self.names[fused.residual]),) if fused.residual else ()),
            )
            value = self.program.tensor(tail.name, (len(weight), *_plane_sides(tail)), made)
            self._add(fused.head, "conv", reads, value, has | applied, as_tensors(weight, bias))
        for member in fused.members[fused.members.index(fused.head) :]:
            self.names[member] = value

    def difference(self, node: fx.Node, call: Call) -> None:
        """Two logits a gate become one: those of a linear layer went into its weights, learned ones are known here."""
        said = call_of(call.inputs[0])
        if said is None or said.kind != "constant":
            raise InputError(
                f"net: logits of {node.name!r} come in pairs that no linear layer makes; the engine needs one"
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
            self._add(node, "slice", (x,), part, {"start": start, "size": size}, {})
            parts.append(part)
        value = self.program.tensor(node.name, (size, *sides), self.live.map_of(node))
        self._add(node, "add", tuple(parts), value, {}, {})
        self.names[node] = value

    def reorder(self, node: fx.Node, call: Call) -> None:
        """Slices, one behind the other."""
        whole = self.names[call.inputs[0]]
        x = self._closed_as(node, whole, np.full(len(self.program.maps[whole]), OPEN))
        sides, parts = self.program.values[x].shape[1:], []
        for start, size in call.attributes["runs"]:
            parts.append(self.program.tensor(f"{node.name}.part", (size, *sides)))
            self._add(node, "slice", (x,), parts[-1], {"start": start, "size": size}, {})
        self.names[node] = self.program.tensor(node.name, (channel_count(node), *sides))
        self._add(node, "concat", tuple(parts), self.names[node], {}, {})

    def product(self, node: fx.Node, call: Call) -> None:
        """A value times another of its shape, or a factor for each channel or pixel."""
        x, factor = call.inputs
        made = self.live.map_of(node)
        read = self._closed_as(node, self.names[x], made)
        by = self.names[factor]
        if per_pixel(call):
            by = self._closed_as(node, self.plane(factor, by), np.full(1, OPEN))
        elif shape(x) == shape(factor):
            by = self._like(factor, by, read)
        else:
            by = self.vector(by)
        same = len(self.program.maps[by]) == len(made) and (self.program.maps[by] == made).all()
        by = by if same else self._closed_as(node, by, np.full(len(self.program.maps[by]), OPEN))
        value = self.program.tensor(node.name, self.program.values[read].shape, made)
        self._add(node, "multiply", (read, by), value, {}, {})
        self.names[node] = value

    def select(self, node: fx.Node, call: Call) -> None:
        """Nothing, where the value's channels were closed as they were computed; else they are picked out here."""
        site = self.live.masks[node]
        value = self._closed_as(node, self.names[call.inputs[0]], self.live.map_of(node))
        if node.meta.get("boosted"):
            boosted = self.program.tensor(
                f"{node.name}.boosted", self.program.values[value].shape, self.live.map_of(node)
            )
            self._add(node, "multiply", (value, self._logits[site.name]), boosted, {}, {})
            value = boosted
        self.names[node] = value

    def gate(self, node: fx.Node, call: Call) -> None:
        """The decisions of one gate, site by site; what is said of a layer's channels is skipped with the layer."""
        gate = self.module(node)
        for site, said, estimator in zip(gate.sites, call.inputs, gate.estimators, strict=True):
            self._ensure(said)
            logits = self._closed_as(said, self.vector(self.names[said]), np.full(site.gates, OPEN))
            self.program.values[site.name] = Value(site.name, (site.gates,), "gate")
            when = self._innermost(self.live.sites_when.get(site.name, frozenset()))
            rule = _rule(gate.strategy, estimator, site)
            self.program.add("gate", (logits,), site.name, rule, {}, when, self._unless(node))
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
            self.program.add("exit", (self.vector(self.names[node]), gate), None)

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

    # Shapes and maps of what an op reads.

    def vector(self, name: str) -> str:
        """A value of one pixel as [C]."""
        return self.reshaped(name, self.program.values[name].shape[:1])

    def plane(self, node: fx.Node, name: str) -> str:
        """A node's value as [C, H, W]."""
        value = self.program.values[name]
        return name if len(value.shape) == 3 else self.reshaped(name, (value.shape[0], *_plane_sides(node)))

    def reshaped(self, name: str, wanted: tuple[int, ...]) -> str:
        """A value in another shape, by one op for all who want it."""
        value = self.program.values[name]
        if value.shape == wanted:
            return name
        known = f"{name}.{'x'.join(map(str, wanted))}"
        if known not in self.program.values:
            if math.prod(value.shape) != math.prod(wanted):
                raise InputError(f"net: {name!r} is repeated over pixels in a way that the engine does not know")
            source = next(op for op in self.program.ops if op.output == name)
            flags = self.program.maps[name] if wanted[0] == value.shape[0] else np.full(wanted[0], OPEN)
            self.program.tensor(known, wanted, flags)
            self.program.add("reshape", (name,), known, {"shape": wanted}, {}, source.when, source.unless)
        return known

    def _like(self, node: fx.Node, name: str, other: str) -> str:
        wanted = self.program.values[other].shape
        return name if self.program.values[name].shape == wanted else self.reshaped(name, wanted)

    def _inputs_as(
        self, node: fx.Node, inputs: Sequence[fx.Node], made: Flags, planes: bool, ungated: bool
    ) -> tuple[str, ...]:
        """The names of what an op reads, with the maps that it must have for what it makes."""
        room, call = room_of(node), call_of(node)
        assert room and call
        if not inputs:
            return ()
        reads = [self.plane(x, self.names[x]) if planes else self.names[x] for x in inputs]
        if len(reads) > 1 and len({len(self.program.values[name].shape) for name in reads}) > 1:
            reads = [self.plane(x, name) for x, name in zip(inputs, reads, strict=True)]
        if ungated:
            return tuple(self._closed_as(node, name, np.full(len(self.program.maps[name]), OPEN)) for name in reads)
        if room.map == "any" or room.links is None:
            return tuple(reads)
        links = room.links(node, call)
        return tuple(
            self._closed_as(node, name, self._wanted(link.pull(made), name, kind_of(node)))
            for link, name in zip(links, reads, strict=True)
        )

    def _wanted(self, pulled: Flags, name: str, kind: str) -> Flags:
        wanted = np.where(pulled == UNREAD, OPEN, pulled)
        if kind == "concat":  # what it makes may have all channels where a part lacks some
            return np.where(wanted == OPEN, self.program.maps[name], wanted)
        if kind == "slice":  # channels that it leaves out may be closed by anything
            return np.where(pulled == UNREAD, self.program.maps[name], wanted)
        return wanted

    def _closed_as(self, node: fx.Node, name: str, wanted: Flags) -> str:
        """A value with another channel map: closed channels are left out, or zero."""
        if (self.program.maps[name] == wanted).all():
            return name
        value = self.program.tensor(f"{name}.select", self.program.values[name].shape, wanted)
        self._add(node, "select", (name,), value, {}, {})
        return value

    def _shape_made(self, node: fx.Node, kind: str, first: tuple[int, ...], planes: bool) -> tuple[int, ...]:
        channels = channel_count(node)
        if kind == "global_pool" or (not first and kind == "constant"):
            return (channels,)
        if kind == "reshape":
            return _stored(node)
        if planes:
            return (channels, *_plane_sides(node))
        return (channels, *first[1:])

    def _seen(self, x: fx.Node, head: Call) -> str:
        """What a convolution reads: a plane; of a vector that is looked at as a line, one row of one channel."""
        name = self.names[x]
        if head.kind == "conv" and shape(x)[1] != channel_count(x):
            open_name = self._closed_as(x, self.vector(name), np.full(channel_count(x), OPEN))
            return self.reshaped(open_name, (shape(x)[1], 1, math.prod(shape(x)[2:])))
        return self.plane(x, name)

    def _window(self, head: Call) -> dict[str, Attribute]:
        if head.kind == "conv":
            return {name: head.attributes[name] for name in ("stride", "padding", "dilation", "groups")}
        if head.kind == "channel_affine":
            return {"groups": channel_count(head.inputs[0]), "counted": False}
        return {}

    def _add(
        self,
        node: fx.Node,
        kind: str,
        reads: tuple[str, ...],
        output: str,
        attributes: Mapping[str, Attribute],
        tensors: Mapping[str, Tensor],
    ) -> None:
        when = self._innermost(self.live.when[node])
        self.program.add(kind, reads, output, attributes, tensors, when, self._unless(node))

    def _innermost(self, layers: frozenset[str]) -> tuple[str, ...]:
        """The layer gates that skip an op, but for those that skip one of these gates themselves."""
        implied = frozenset().union(*(self.live.sites_when.get(layer, frozenset()) for layer in layers))
        return tuple(sorted(layers - implied))

    def _unless(self, node: fx.Node) -> tuple[str, ...]:
        return tuple(sorted(self.live.unless[node]))

    def _read_tensors(self, tensors: Tensors) -> dict[str, Tensor]:
        return {
            role: tensor.read(self.graph_module).flatten() if isinstance(tensor, Weight) and role != "weight" else
            tensor.read(self.graph_module) if isinstance(tensor, Weight) else tensor
            for role, tensor in tensors.items()
        }  # fmt: skip

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


def _plane_sides(node: fx.Node) -> tuple[int, int]:
    sides = (*(1,) * (2 - len(pixel_sides(node))), *pixel_sides(node))
    return sides[0], sides[1]


def _stored(node: fx.Node) -> tuple[int, ...]:
    sides = _plane_sides(node)
    return (channel_count(node),) if math.prod(sides) == 1 else (channel_count(node), *sides)


def _rule(strategy: Strategy, estimator: Estimator, site: GateSite) -> dict[str, Attribute]:
    """How a gate decides: the k largest logits are open, or those above the threshold."""
    if not isinstance(strategy, Threshold):
        raise InputError(f"strategy: {strategy} cannot be exported; the engine's gates decide by Threshold(t)")
    rule: dict[str, Attribute] = {"keep_open": site.keep_open} if site.keep_open else {}
    if isinstance(estimator, TopK):
        return rule | {"top_k": estimator.count(site.gates)}
    return rule | {"threshold": strategy.logit}
