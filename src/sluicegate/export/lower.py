"""GatedModel -> Program: the gated graph as the engine runs it.

    norms        folded into the convolutions before them; one that has none is a convolution of one weight a channel
    masks        gone: a value bears the gate that closes its channels, an op the layer gate that skips it; only where
                 an ungated value is masked for some of its readers there is an op, `select`
    gate heads   ops like any other: pool, linear, linear, gate; behind a layer gate the channel half is skipped with it
    exits        gate, then the classifier, skipped where the gate is closed, then `exit`

Which value bears which gate is read off `costs.liveness`, the same answers from which `MacModel` counts.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.costs import Liveness, liveness
from sluicegate.errors import InputError
from sluicegate.export.passes import Fused, activation_of, does_nothing, folded, folded_linear, fuse, norm_alone
from sluicegate.gates import (
    OPEN_LOGIT,
    Constant,
    ConvHead,
    Estimator,
    FreeLogits,
    Gate,
    Head,
    LogitHead,
    LstmCell,
    MemoryHead,
    PooledFeatures,
    PooledHead,
    SaliencyHead,
    TopK,
    hidden_of,
    leave,
    mask_channels,
    mask_layer,
)
from sluicegate.graph import Role, module_of, role, shape, trace
from sluicegate.nets.cifar_resnet import SubsampleAndPad
from sluicegate_runtime.program import Attribute, Op, Preprocessing, Program, Value

Pair = tuple[int, int]


def lower(
    net: nn.Module,
    example_inputs: Tensor | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
) -> tuple[Program, dict[str, np.ndarray]]:
    """Lower a network to a program.

    Args:
        net: a gated network, or a plain one with `example_inputs`; lowered as it is in evaluation.
        example_inputs: [1, C, H, W], for a plain network.
        preprocessing: from an image to the input; travels with the program.
        classes: names of the outputs.

    Returns:
        The program and its tensors, name -> float32 array.

    Raises:
        InputError: an op of the network is none of the engine's.
    """
    if isinstance(net, GatedModel):
        graph_module = net.network
    elif example_inputs is None:
        raise InputError("example_inputs: None, but a plain network needs them to be traced")
    else:
        graph_module = trace(net, example_inputs)
    lowering = _Lowering(graph_module)
    with torch.no_grad():
        output = lowering.run()
    (source,) = (n for n in graph_module.graph.nodes if n.op == "placeholder")
    program = Program(
        source.name,
        output,
        tuple(lowering.values),
        tuple(lowering.ops),
        preprocessing or Preprocessing(),
        tuple(classes),
    )
    return program, lowering.tensors


class _Lowering:
    """One walk over the graph; `names` says which of the program's values holds what a node computes."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module = graph_module
        self.live: Liveness = liveness(graph_module)
        self.fused = fuse(graph_module)
        self.values: list[Value] = []
        self.ops: list[Op] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.names: dict[fx.Node, str] = {}
        self.boosted: set[str] = set()  # sites whose open channels are scaled

    def run(self) -> str:
        """Lower every node; returns the name of the output."""
        for node in self.graph_module.graph.nodes:
            if node.op == "output":
                return self.names[self._result(node)]
            self._lower(node)
            if node in self.live.exits:
                self._exit(self._value(self.names[node]), self.live.exits[node].name)
        raise InputError("net: its graph has no output")

    def _result(self, output: fx.Node) -> fx.Node:
        result = output.args[0]
        result = result[0] if isinstance(result, tuple) else result
        if not isinstance(result, fx.Node):
            raise InputError(f"net: it returns {type(result).__name__}; the engine returns one tensor")
        return result

    def _lower(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.values.append(Value(node.name, shape(node)[1:]))
            self.names[node] = node.name
        elif node in self.fused:
            if node is self.fused[node].tail:
                self._convolution(self.fused[node])
        elif isinstance(gate := module_of(self.graph_module, node), Gate):
            self._gate(node, gate)
        elif node.target is mask_channels:
            self._mask(node)
        elif node.target is mask_layer:
            self.names[node] = self._read(node)
        elif node.target is leave:
            self.names[node] = self.names[node.all_input_nodes[2]]
        elif not self._is_decision(node):
            self._op(node)

    def _is_decision(self, node: fx.Node) -> bool:
        """Whether a node only unpacks what a gate returned."""
        source = node
        while source.all_input_nodes and module_of(self.graph_module, source) is None:
            source = source.all_input_nodes[0]
        return "tensor_meta" not in node.meta and isinstance(module_of(self.graph_module, source), Gate)

    def _op(self, node: fx.Node) -> None:
        for rule in (self._alias, self._activation, self._module, self._function):
            if rule(node):
                return
        what = type(module).__name__ if (module := module_of(self.graph_module, node)) else node.target
        raise InputError(f"net: the engine has no op for {node.name!r} ({what})")

    def _alias(self, node: fx.Node) -> bool:
        """Ops that do nothing in evaluation, or nothing to a value that is flat already."""
        module = module_of(self.graph_module, node)
        flattens = isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten", "view", "reshape")
        if not (flattens or does_nothing(self.graph_module, node)):
            return False
        read = self.names[node.all_input_nodes[0]]
        if flattens and len(self._value(read).shape) == 3:
            self._emit(node, "flatten", (read,), shape(node)[1:])
        else:
            self.names[node] = read
        return True

    def _activation(self, node: fx.Node) -> bool:
        name = activation_of(self.graph_module, node)
        if name is not None:
            self._emit(node, "activation", (self._read(node),), self._shape(node), {"function": name})
        return name is not None

    def _module(self, node: fx.Node) -> bool:
        module, read, out = module_of(self.graph_module, node), node.all_input_nodes[:1], shape(node)[1:]
        names = tuple(self.names[n] for n in read)
        match module:
            case nn.Linear():
                self._emit(node, "linear", names, out, tensors=self._weights(node.name, module.weight, module.bias))
            case PooledFeatures():
                tensors = self._weights(node.name, module.linear.weight, module.linear.bias)
                self._emit(node, "linear", (self._pooled(node, self._when(node)),), out, tensors=tensors)
            case LstmCell():
                self._lstm(node, module.cell)
            case nn.AdaptiveAvgPool2d() if out[1:] == (1, 1):
                self._emit(node, "global_pool", names, out[:1])
            case nn.MaxPool2d() if module.dilation in (1, (1, 1)):
                self._emit(node, "max_pool", names, out, _window(module) | {"ceil": module.ceil_mode})
            case nn.AvgPool2d() if module.divisor_override is None and _windows_fit(module, node):
                counts = {"count_padding": module.count_include_pad}
                self._emit(node, "avg_pool", names, out, _window(module) | counts)
            case SubsampleAndPad():
                attributes = {"stride": module.stride, "before": module.before, "after": module.after}
                self._emit(node, "subsample", names, out, attributes)
            case nn.Upsample() if module.mode == "bilinear":
                self._emit(node, "resize", names, out, {"size": out[1:], "align_corners": bool(module.align_corners)})
            case _:
                return False
        return True

    def _function(self, node: fx.Node) -> bool:
        names = tuple(self.names[n] for n in node.all_input_nodes if n in self.names)
        out = shape(node)[1:]
        if role(self.graph_module, node) is Role.ADD:
            self._emit(node, "add", names, out)
        elif node.target in (torch.cat, torch.concat):
            self._emit(node, "concat", names, out)
        elif node.target is hidden_of:
            self._emit(node, "slice", names, out, {"size": out[0]})
        elif (node.target == "mean" and len(out) == 1) or (node.target is F.adaptive_avg_pool2d and out[1:] == (1, 1)):
            self._emit(node, "global_pool", names, out[:1])
        else:
            return False
        return True

    def _lstm(self, node: fx.Node, cell: nn.LSTMCell) -> None:
        """One step of a shared cell; the first, without a state, meets the features' weights alone."""
        reads = [self.names[n] for n in node.all_input_nodes]
        parts = (cell.weight_ih, cell.weight_hh)[: len(reads)]
        name = f"{node.target}.{'step' if len(reads) == 2 else 'start'}"
        tensors = self._weights(name, torch.cat(parts, dim=1), cell.bias_ih + cell.bias_hh)
        self._emit(node, "lstm", tuple(reads), (2 * cell.hidden_size,), tensors=tensors)

    def _convolution(self, fused: Fused) -> None:
        conv = self.graph_module.get_submodule(str(fused.conv.target)) if fused.conv else None
        norm = self.graph_module.get_submodule(str(fused.norm.target)) if fused.norm else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        if isinstance(conv, nn.Conv2d):
            attributes, weights = _window_of(conv), folded(conv, norm)
        else:
            assert norm is not None
            attributes, weights = {"groups": norm.num_features, "counted": False}, norm_alone(norm)
        reads = [fused.head.all_input_nodes[0], *([fused.residual] if fused.residual else [])]
        self._emit(
            fused.tail,
            "conv",
            tuple(self.names[n] for n in reads),
            shape(fused.tail)[1:],
            attributes | {"activation": fused.activation},
            self._weights(fused.head.name, *weights),
            when=self._when(fused.head),
        )

    def _mask(self, mask: fx.Node) -> None:
        """Nothing, where the value's channels were closed as they were computed; else they are picked out here."""
        value, site = self._value(self._read(mask)), self.live.masks[mask]
        self.names[mask] = value.name
        if value.gate != site.name:
            self._emit(mask, "select", (value.name, site.name), value.shape)
        if site.name in self.boosted:
            boosted = Value(f"{mask.name}.boosted", value.shape, gate=site.name)
            self._add("scale", boosted, (self.names[mask], f"{site.name}.logits"), when=self._when(mask))
            self.names[mask] = boosted.name

    def _gate(self, node: fx.Node, gate: Gate) -> None:
        """The head's features, and for each site an output layer and its decision; the layer's comes first."""
        when = self._when(node)
        if isinstance(gate.head, LogitHead):
            (site,) = gate.sites
            self._add("gate", Value(site.name, (site.gates,), "gate"), (self._read(node),), when=when)
            return
        features = self._features(node, gate.head, when)
        for i, (site, estimator) in enumerate(zip(gate.sites, gate.estimators, strict=True)):
            logits = Value(f"{site.name}.logits", (site.gates,))
            self._logits(logits, gate.head, i, features, estimator.logits_per_gate, when)
            self._keep_open(logits.name, site.keep_open)
            is_open = Value(site.name, (site.gates,), "gate")
            self._add("gate", is_open, (logits.name,), _rule(estimator, site.gates), when=when)
            self.boosted |= {site.name} if isinstance(estimator, TopK) and estimator.boost else set()
            when = site.name if site.kind == "layer" else when

    def _exit(self, early: Value, gate: str) -> None:
        """End an image where the gate is open. Where it is closed the classifier was skipped, and only a sum may look
        across: its answer plus zeros."""
        zeros, said = (Value(f"{gate}.{part}", early.shape) for part in ("zeros", "said"))
        self._add("constant", zeros, (), tensors=self._weights(zeros.name, None, torch.zeros(early.shape)))
        self._add("add", said, (zeros.name, early.name))
        self.ops.append(Op("exit", f"{gate}.taken", (said.name, gate), None))

    def _logits(
        self, value: Value, head: Head, index: int, features: str | None, logits_per_gate: int, when: str | None
    ) -> None:
        """What a head says of one site."""
        output = head.outputs[index]
        activation = {"activation": "relu"} if isinstance(head, SaliencyHead) else {}
        if isinstance(output, Constant):
            values = self._weights(value.name, None, _difference(output.values, logits_per_gate))
            self._add("constant", value, (), tensors=values, when=when)
            return
        assert isinstance(output, nn.Linear) and features is not None
        weight, bias = _difference(output.weight, logits_per_gate), _difference(output.bias, logits_per_gate)
        self._add("linear", value, (features,), activation, self._weights(value.name, weight, bias), when)

    def _keep_open(self, logits: str, count: int) -> None:
        """Let the first logits be those of open gates, whatever a head says."""
        for part, fixed in ((f"{logits}.weight", 0.0), (f"{logits}.bias", OPEN_LOGIT)):
            if count and part in self.tensors:
                self.tensors[part] = self.tensors[part].copy()
                self.tensors[part][:count] = fixed

    def _features(self, node: fx.Node, head: Head, when: str | None) -> str | None:
        """What a head's output layers read, if they read anything."""
        match head:
            case PooledHead():
                return self._hidden(f"{node.name}.hidden", head, self._pooled(node, when), when)
            case MemoryHead():
                (output,), features = head.first.outputs, self._features(node, head.first, when)
                assert isinstance(output, nn.Linear) and features is not None
                first = Value(f"{node.name}.first", (output.out_features,))
                self._add("linear", first, (features,), {}, self._weights(first.name, output.weight, output.bias), when)
                return self._hidden(f"{node.name}.memory", head, first.name, when)
            case SaliencyHead():
                return self._pooled(node, when, absolute=True)
            case ConvHead():
                return self._convolved(node, head, when)
            case FreeLogits():
                return None
        raise InputError(f"head: the engine has no {type(head).__name__}")

    def _hidden(self, name: str, head: PooledHead | MemoryHead, read: str, when: str | None) -> str:
        """A head's hidden neurons: a linear layer, its norm folded in, and ReLU."""
        value = Value(name, (head.hidden.out_features,))
        weights = self._weights(name, *folded_linear(head.hidden, head.norm))
        self._add("linear", value, (read,), {"activation": "relu"}, weights, when)
        return name

    def _convolved(self, node: fx.Node, head: ConvHead, when: str | None) -> str:
        """Two convolutions, their norms folded in, and the pooled features in a row."""
        read, size = self._read(node), shape(node.all_input_nodes[0])[2:]
        for part, conv, norm in (("first", head.first, head.first_norm), ("second", head.second, head.second_norm)):
            value = Value(f"{node.name}.{part}", (conv.out_channels, *size))
            weights = self._weights(value.name, *folded(conv, norm))
            self._add("conv", value, (read,), _window_of(conv) | {"activation": "relu"}, weights, when)
            read = value.name
        window = _window(head.pool)
        sides = tuple(side // kernel for side, kernel in zip(size, window["kernel"], strict=True))
        pooled = Value(f"{node.name}.pool", (head.second.out_channels, *sides))
        features = Value(f"{node.name}.features", (math.prod(pooled.shape),))
        self._add("avg_pool", pooled, (read,), window, when=when)
        self._add("flatten", features, (pooled.name,), when=when)
        return features.name

    def _pooled(self, node: fx.Node, when: str | None, absolute: bool = False) -> str:
        read = self._value(self._read(node))
        if len(read.shape) == 1:
            return read.name
        if node in self.live.averaged:
            return f"{self.live.averaged[node].name}.pool"
        pooled = Value(f"{node.name}.pool", read.shape[:1], gate=read.gate)
        self._add("global_pool", pooled, (read.name,), {"counted": True, "absolute": absolute}, when=when)
        return pooled.name

    def _emit(
        self,
        node: fx.Node,
        kind: str,
        reads: tuple[str, ...],
        out: tuple[int, ...],
        attributes: Mapping[str, Attribute] | None = None,
        tensors: Mapping[str, str] | None = None,
        when: str | None = None,
    ) -> None:
        """An op that computes what a node does, skipped and with channels closed as the node is."""
        value = Value(node.name, tuple(out), gate=self._closed_by(node, kind, reads))
        self._add(kind, value, reads, attributes, tensors, when or self._when(node))
        self.names[node] = value.name

    def _closed_by(self, node: fx.Node, kind: str, reads: tuple[str, ...]) -> str | None:
        """The gate whose closed channels an op leaves out; only a convolution and a selection can begin to do so."""
        gate = self.live.needed.get(node) or self.live.zeroed.get(node)
        begins = kind in ("conv", "select")
        return gate if begins or all(self._value(name).gate == gate for name in reads) else None

    def _add(
        self,
        kind: str,
        value: Value,
        reads: tuple[str, ...],
        attributes: Mapping[str, Attribute] | None = None,
        tensors: Mapping[str, str] | None = None,
        when: str | None = None,
    ) -> None:
        self.values.append(value)
        self.ops.append(Op(kind, value.name, reads, value.name, tensors or {}, attributes or {}, when))

    def _weights(self, name: str, weight: Tensor | None, bias: Tensor | None) -> dict[str, str]:
        roles = {part: tensor for part, tensor in (("weight", weight), ("bias", bias)) if tensor is not None}
        for part, tensor in roles.items():
            self.tensors[f"{name}.{part}"] = tensor.detach().cpu().float().numpy()
        return {part: f"{name}.{part}" for part in roles}

    def _when(self, node: fx.Node) -> str | None:
        """The innermost layer gate that skips a node."""
        layers = self.live.skipped[node]
        order = [site.name for site in self.live.masks.values()]
        return max(layers, key=order.index, default=None)

    def _read(self, node: fx.Node) -> str:
        return self.names[node.all_input_nodes[0]]

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        return self._value(self._read(node)).shape

    def _value(self, name: str) -> Value:
        return next(value for value in self.values if value.name == name)


def _difference(rows: Tensor, logits_per_gate: int) -> Tensor:
    """One logit a gate: of a pair (off, on) only the difference matters, and it is linear too."""
    return rows if logits_per_gate == 1 else rows[1::2] - rows[::2]


def _rule(estimator: Estimator, gates: int) -> dict[str, Attribute]:
    """How a gate decides, where that is not by its threshold."""
    return {"top_k": estimator.count(gates)} if isinstance(estimator, TopK) else {}


def _window_of(conv: nn.Conv2d) -> dict[str, Attribute]:
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        raise InputError(f"net: a convolution pads by {conv.padding!r}, {conv.padding_mode}; the engine by zeros")
    return {
        "stride": _pair(conv.stride),
        "padding": _pair(conv.padding),
        "dilation": _pair(conv.dilation),
        "groups": conv.groups,
    }


def _windows_fit(module: nn.AvgPool2d, node: fx.Node) -> bool:
    """Whether no window hangs over the end, so that rounding the number of windows up or down is the same."""
    sides = zip(shape(node.all_input_nodes[0])[2:], shape(node)[2:], *_window(module).values(), strict=True)
    return all((count - 1) * stride + kernel <= side + 2 * pad for side, count, kernel, stride, pad in sides)


def _window(module: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Pair]:
    stride = module.kernel_size if module.stride is None else module.stride
    return {"kernel": _pair(module.kernel_size), "stride": _pair(stride), "padding": _pair(module.padding)}


def _pair(sides: int | tuple[int, ...] | str) -> Pair:
    return (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))
