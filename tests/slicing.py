"""An independent way to run and to count a gated network for one image: with the closed parts physically cut out.

Nothing here asks the library which channels or branches matter. A convolution that bears a channel site's name is cut
to the open filters; every later op is cut to the channels that it is handed; a skipped branch is never evaluated, and
neither is what lies behind an exit that is taken, nor the classifier of one that is not.
Each multiply of the convolutions and linear layers that really run is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.gates import Gate, GateRecords, PooledHead, leave, mask_channels, mask_layer
from sluicegate.gates.heads import pool
from sluicegate.graph import shape


@dataclass
class Cut:
    """A value of which only some channels exist: x [1, len(kept), H, W]."""

    x: Tensor
    kept: Tensor


@dataclass
class SlicedRun:
    """Runs one image through the gated graph, lazily from the output, with decisions that are given."""

    gated: GatedModel
    gates: GateRecords
    image: int
    macs: int = 0
    _values: dict[fx.Node, Cut | Tensor] = field(default_factory=dict)

    def run(self, images: Tensor) -> Tensor:
        """The network's output for `images[image]`, as [1, classes]."""
        graph = self.gated.network.graph
        (source,) = (n for n in graph.nodes if n.op == "placeholder")
        x = images[self.image : self.image + 1]
        self._values[source] = Cut(x, torch.arange(x.shape[1]))
        output = next(n for n in graph.nodes if n.op == "output").args[0][0]
        result = self._value(output)
        gates = list(self._gates())
        self.macs += sum(self._cut(node).x.numel() for node in {_looked_at(gate) for gate in gates})  # pooled
        self.macs += sum(map(self._head_macs, gates))
        return result.x if isinstance(result, Cut) else result

    def _value(self, node: fx.Node) -> Cut | Tensor:
        if node not in self._values:
            self._values[node] = self._evaluate(node)
        return self._values[node]

    def _cut(self, node: fx.Node) -> Cut:
        value = self._value(node)
        assert isinstance(value, Cut)
        return value

    def _evaluate(self, node: fx.Node) -> Cut | Tensor:
        if node.target is mask_layer:
            return self._skip_or_run(node)
        if node.target is leave:
            early, decision, later = node.all_input_nodes
            return self._value(later if self._decision(decision).item() else early)
        if node.target is mask_channels:
            return self._cut_inputs(node)
        operands = [self._value(n) for n in node.all_input_nodes]
        if node.op == "call_module":
            module = self.gated.network.get_submodule(str(node.target))
            return self._module(str(node.target), module, operands[0])
        function = getattr(Tensor, str(node.target)) if isinstance(node.target, str) else node.target
        args = [self._filled(a) if isinstance(a, fx.Node) else a for a in node.args]
        result = function(*args, **node.kwargs)
        return Cut(result, torch.arange(result.shape[1])) if result.dim() == 4 else result

    def _skip_or_run(self, node: fx.Node) -> Cut | Tensor:
        branch, decision = node.all_input_nodes
        if self._decision(decision).item() == 0:
            return Cut(torch.zeros(1, *shape(node)[1:]), torch.arange(shape(node)[1]))
        return self._value(branch)

    def _cut_inputs(self, mask: fx.Node) -> Cut | Tensor:
        """A convolution's filters were cut already as it ran; what a branch reads is cut here."""
        value = self._value(mask.all_input_nodes[0])
        name = self._site_name(mask.all_input_nodes[1])
        if not name.endswith(".in"):
            return value
        assert isinstance(value, Cut)
        is_open = self.gates[name].open[self.image].bool().repeat_interleave(self.gates[name].site.granularity)
        return Cut(value.x[:, is_open[value.kept]], value.kept[is_open[value.kept]])

    def _decision(self, node: fx.Node) -> Tensor:
        (record,) = [self.gates[s.name] for s in self.gated.sites.values() if s.name == self._site_name(node)]
        return record.open[self.image]

    def _site_name(self, decision: fx.Node) -> str:
        pair = decision.all_input_nodes[0]
        gate = self.gated.network.get_submodule(str(pair.all_input_nodes[0].target))
        assert isinstance(gate, Gate)
        return gate.sites[pair.args[1]].name  # type: ignore[index]

    def _module(self, name: str, module: nn.Module, value: Cut | Tensor) -> Cut | Tensor:
        if isinstance(module, nn.Conv2d):
            assert isinstance(value, Cut)
            return self._convolution(name, module, value)
        if isinstance(module, nn.BatchNorm2d):
            assert isinstance(value, Cut) and module.running_mean is not None and module.running_var is not None
            k = value.kept
            if not len(k):
                return value  # torch refuses to normalise nothing
            args = (module.running_mean[k], module.running_var[k], module.weight[k], module.bias[k])
            return Cut(F.batch_norm(value.x, *args, False, 0.0, module.eps), k)
        if isinstance(module, nn.Linear):
            x = self._full(value)
            self.macs += module.weight.numel()
            return module(x)
        return Cut(module(value.x), value.kept) if isinstance(value, Cut) else module(value)

    def _convolution(self, name: str, module: nn.Conv2d, value: Cut) -> Cut:
        """Filter by filter: each reads the inputs of its group that exist."""
        kept = torch.arange(module.out_channels)
        if name in self.gates:
            site = self.gates[name].site
            kept = kept[self.gates[name].open[self.image].bool().repeat_interleave(site.granularity)]
        elif module.groups == module.in_channels == module.out_channels:
            kept = value.kept  # a depthwise filter without its channel has nothing to do
        outputs, inputs = module.out_channels // module.groups, module.in_channels // module.groups
        size = _output_size(module, value.x)
        maps = [torch.zeros(1, 0, *size)]
        for group in sorted(set((kept // outputs).tolist())):
            mine = (value.kept // inputs) == group
            filters = kept[kept // outputs == group]
            weight = module.weight[filters][:, value.kept[mine] - group * inputs]
            maps.append(_convolve(module, value.x[:, mine], weight, size))
            self.macs += weight.numel() * size.numel()
        return Cut(torch.cat(maps, 1), kept)

    def _filled(self, node: fx.Node) -> Tensor:
        """A value with zeros for the channels that were cut: to a sum, they add nothing."""
        value = self._value(node)
        if isinstance(value, Tensor):
            return value
        whole = torch.zeros(1, shape(node)[1], *value.x.shape[2:])
        whole[:, value.kept] = value.x
        return whole

    def _full(self, value: Cut | Tensor) -> Tensor:
        assert isinstance(value, Tensor) or len(value.kept) == value.x.shape[1] == int(value.kept[-1]) + 1
        return value.x if isinstance(value, Cut) else value

    def _gates(self) -> Iterator[fx.Node]:
        """Those that are asked: all, up to where the image leaves."""
        nodes = self.gated.network.graph.nodes
        exits = [n.all_input_nodes for n in nodes if n.target is leave]
        ends = [early for early, decision, _ in exits if not self._decision(decision).item()]
        for node in nodes:
            if node.op == "call_module" and self._is_gate(node):
                yield node
            if node in ends:
                return

    def _is_gate(self, node: fx.Node) -> bool:
        return isinstance(self.gated.network.get_submodule(str(node.target)), Gate)

    def _head_macs(self, node: fx.Node) -> int:
        gate = self.gated.network.get_submodule(str(node.target))
        assert isinstance(gate, Gate) and isinstance(gate.head, PooledHead)
        total = len(self._cut(_looked_at(node)).kept) * gate.head.hidden.out_features
        for site, output in zip(gate.sites, gate.head.outputs, strict=True):
            assert isinstance(output, nn.Linear)
            total += site.gates * output.in_features  # two logits of a gate fold into one
            if site.kind == "layer" and self.gates[site.name].open[self.image].item() == 0:
                break
        return total


def _looked_at(gate: fx.Node) -> fx.Node:
    """What a gate's head averages."""
    node = gate
    while node.target is not pool:
        node = node.all_input_nodes[0]
    return node.all_input_nodes[0]


def _convolve(module: nn.Conv2d, x: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    if not x.shape[1]:
        return torch.zeros(1, len(weight), *size)  # torch refuses to convolve nothing
    return F.conv2d(x, weight, None, module.stride, module.padding)


def _output_size(module: nn.Conv2d, x: Tensor) -> torch.Size:
    one, kernel = torch.zeros(1, 1, *x.shape[2:]), torch.zeros(1, 1, *module.kernel_size)
    return F.conv2d(one, kernel, None, module.stride, module.padding).shape[2:]
