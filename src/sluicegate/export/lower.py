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
from sluicegate.export.builder import ProgramBuilder
from sluicegate.export.heads import HeadLowering
from sluicegate.export.passes import Fused, activation_of, does_nothing, folded, fuse, is_sum, norm_alone
from sluicegate.export.windows import conv_window, pool_window, scales_fit, windows_fit
from sluicegate.gates import (
    Gate,
    LstmCell,
    PooledFeatures,
    hidden_of,
    leave,
    mask_channels,
    mask_layer,
)
from sluicegate.graph import module_of, shape, trace
from sluicegate.nets.cifar_resnet import SubsampleAndPad
from sluicegate_runtime.program import Attribute, Op, Preprocessing, Program, Value


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
    sources = [node.name for node in graph_module.graph.nodes if node.op == "placeholder"]
    if len(sources) != 1:
        raise InputError(f"net: it takes {len(sources)} inputs ({', '.join(sources)}); the engine takes one")
    lowering = _Lowering(graph_module)
    with torch.no_grad():
        output = lowering.run()
    program = Program(
        sources[0],
        output,
        tuple(lowering.program.values),
        tuple(lowering.program.ops),
        preprocessing or Preprocessing(),
        tuple(classes),
    )
    return program, lowering.program.tensors


class _Lowering:
    """One walk over the graph; `names` says which of the program's values holds what a node computes."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module = graph_module
        self.live: Liveness = liveness(graph_module)
        self.fused = fuse(graph_module)
        self.program = ProgramBuilder()
        self.names: dict[fx.Node, str] = {}
        self.boosted: set[str] = set()  # sites whose open channels are scaled

    def run(self) -> str:
        """Lower every node; returns the name of the output."""
        for node in self.graph_module.graph.nodes:
            if node.op == "output":
                return self.names[self._result(node)]
            self._lower(node)
            if node in self.live.exits:
                self._exit(self.program.value(self.names[node]), self.live.exits[node].name)
        raise InputError("net: its graph has no output")

    def _result(self, output: fx.Node) -> fx.Node:
        result = output.args[0]
        result = result[0] if isinstance(result, tuple) else result
        if not isinstance(result, fx.Node):
            raise InputError(f"net: it returns {type(result).__name__}; the engine returns one tensor")
        return result

    def _lower(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.program.values.append(Value(node.name, shape(node)[1:]))
            self.names[node] = node.name
        elif node in self.fused:
            if node is self.fused[node].tail:
                self._convolution(self.fused[node])
        elif isinstance(gate := module_of(self.graph_module, node), Gate):
            self.boosted |= self._head(node).gate(gate)
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
        if does_nothing(self.graph_module, node):
            self.names[node] = self._read(node)
            return True
        module = module_of(self.graph_module, node)
        if not (isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten", "view", "reshape")):
            return False
        before, after = self._shape(node), shape(node)[1:]
        if after == before:
            self.names[node] = self._read(node)
        elif after == (math.prod(before),):
            self._emit(node, "flatten", (self._read(node),), after)
        else:
            return False
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
                self._emit(
                    node, "linear", names, out, tensors=self.program.weights(node.name, module.weight, module.bias)
                )
            case PooledFeatures():
                tensors = self.program.weights(node.name, module.linear.weight, module.linear.bias)
                self._emit(node, "linear", (self._head(node).pooled(),), out, tensors=tensors)
            case LstmCell():
                self._lstm(node, module.cell)
            case nn.AdaptiveAvgPool2d() if out[1:] == (1, 1):
                self._emit(node, "global_pool", names, out[:1])
            case nn.MaxPool2d() if module.dilation in (1, (1, 1)):
                self._emit(node, "max_pool", names, out, pool_window(module) | {"ceil": module.ceil_mode})
            case nn.AvgPool2d() if module.divisor_override is None and windows_fit(module, node):
                counts = {"count_padding": module.count_include_pad}
                self._emit(node, "avg_pool", names, out, pool_window(module) | counts)
            case SubsampleAndPad():
                attributes = {"stride": module.stride, "before": module.before, "after": module.after}
                self._emit(node, "subsample", names, out, attributes)
            case nn.Upsample() if module.mode == "bilinear" and scales_fit(module, node):
                self._emit(node, "resize", names, out, {"size": out[1:], "align_corners": bool(module.align_corners)})
            case _:
                return False
        return True

    def _function(self, node: fx.Node) -> bool:
        names = tuple(self.names[n] for n in node.all_input_nodes if n in self.names)
        out = shape(node)[1:]
        if is_sum(self.graph_module, node):
            self._emit(node, "add", names, out)
        elif node.target in (torch.cat, torch.concat):
            self._emit(node, "concat", names, out)
        elif node.target is hidden_of:
            self._emit(node, "slice", names, out, {"size": out[0]})
        elif _averages_plane(node) or (node.target is F.adaptive_avg_pool2d and out[1:] == (1, 1)):
            self._emit(node, "global_pool", names, out[:1])
        else:
            return False
        return True

    def _lstm(self, node: fx.Node, cell: nn.LSTMCell) -> None:
        """One step of a shared cell; the first, without a state, meets the features' weights alone."""
        reads = [self.names[n] for n in node.all_input_nodes]
        parts = (cell.weight_ih, cell.weight_hh)[: len(reads)]
        name = f"{node.target}.{'step' if len(reads) == 2 else 'start'}"
        tensors = self.program.weights(name, torch.cat(parts, dim=1), cell.bias_ih + cell.bias_hh)
        self._emit(node, "lstm", tuple(reads), (2 * cell.hidden_size,), tensors=tensors)

    def _convolution(self, fused: Fused) -> None:
        conv = self.graph_module.get_submodule(str(fused.conv.target)) if fused.conv else None
        norm = self.graph_module.get_submodule(str(fused.norm.target)) if fused.norm else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        if isinstance(conv, nn.Conv2d):
            attributes, weights = conv_window(conv), folded(conv, norm)
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
            self.program.weights(fused.head.name, *weights),
            when=self._when(fused.head),
        )

    def _mask(self, mask: fx.Node) -> None:
        """Nothing, where the value's channels were closed as they were computed; else they are picked out here."""
        value, site = self.program.value(self._read(mask)), self.live.masks[mask]
        self.names[mask] = value.name
        if value.gate != site.name:
            self._emit(mask, "select", (value.name, site.name), value.shape)
        if site.name in self.boosted:
            boosted = Value(f"{mask.name}.boosted", value.shape, gate=site.name)
            self.program.add("scale", boosted, (self.names[mask], f"{site.name}.logits"), when=self._when(mask))
            self.names[mask] = boosted.name

    def _head(self, node: fx.Node) -> HeadLowering:
        before = self.live.averaged.get(node)
        return HeadLowering(self.program, node.name, self._read(node), self._when(node), before and before.name)

    def _exit(self, early: Value, gate: str) -> None:
        """End an image where the gate is open. Where it is closed the classifier was skipped, and only a sum may look
        across: its answer plus zeros."""
        zeros, said = (Value(f"{gate}.{part}", early.shape) for part in ("zeros", "said"))
        self.program.add(
            "constant", zeros, (), tensors=self.program.weights(zeros.name, None, torch.zeros(early.shape))
        )
        self.program.add("add", said, (zeros.name, early.name))
        self.program.ops.append(Op("exit", f"{gate}.taken", (said.name, gate), None))

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
        self.program.add(kind, value, reads, attributes, tensors, when or self._when(node))
        self.names[node] = value.name

    def _closed_by(self, node: fx.Node, kind: str, reads: tuple[str, ...]) -> str | None:
        """The gate whose closed channels an op leaves out; only a convolution and a selection can begin to do so."""
        gate = self.live.needed.get(node) or self.live.zeroed.get(node)
        begins = kind in ("conv", "select")
        return gate if begins or all(self.program.value(name).gate == gate for name in reads) else None

    def _when(self, node: fx.Node) -> str | None:
        """The innermost layer gate that skips a node."""
        layers = self.live.skipped[node]
        order = [site.name for site in self.live.masks.values()]
        return max(layers, key=order.index, default=None)

    def _read(self, node: fx.Node) -> str:
        return self.names[node.all_input_nodes[0]]

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        return self.program.value(self._read(node)).shape


def _averages_plane(node: fx.Node) -> bool:
    """Whether a node is [N, C, H, W] -> [N, C], the mean over pixels."""
    if node.target != "mean" or len(shape(node.all_input_nodes[0])) != 4:
        return False
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return (
        isinstance(over, list | tuple)
        and {side % 4 for side in over if isinstance(side, int)} == {2, 3}
        and len(shape(node)) == 2
    )
