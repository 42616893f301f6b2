"""A gate as ops of a program: what its head looks at, what it says of each site, and which gates are open."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.export.builder import ProgramBuilder
from sluicegate.export.passes import folded, folded_linear
from sluicegate.export.windows import conv_window, pool_window
from sluicegate.gates import (
    OPEN_LOGIT,
    Constant,
    ConvHead,
    Estimator,
    FreeLogits,
    Gate,
    Head,
    LogitHead,
    MemoryHead,
    PooledHead,
    SaliencyHead,
    Strategy,
    Threshold,
    TopK,
)
from sluicegate_runtime.program import Attribute, Value


@dataclass(frozen=True)
class HeadLowering:
    """Adds one gate to a program.

    Attributes:
        program: to which its ops are added.
        name: of the gate's node.
        read: the value that its head looks at.
        when: the layer gate that skips it, if there is one.
        averaged: the gate's node whose head has averaged this value already, if there is one.
    """

    program: ProgramBuilder
    name: str
    read: str
    when: str | None
    averaged: str | None = None

    def gate(self, gate: Gate) -> set[str]:
        """The head's features, and for each site an output layer and its decision; the layer's comes first. Returns the
        sites whose open channels are scaled by what the head says of them."""
        when = self.when
        if isinstance(gate.head, LogitHead):
            (site,), (estimator,) = gate.sites, gate.estimators
            is_open = Value(site.name, (site.gates,), "gate")
            self.program.add("gate", is_open, (self.read,), _rule(gate.strategy, estimator, site.gates), when=when)
            return set()
        features = self._features(gate.head)
        for i, (site, estimator) in enumerate(zip(gate.sites, gate.estimators, strict=True)):
            logits = Value(f"{site.name}.logits", (site.gates,))
            self._logits(logits, gate.head, i, features, estimator.logits_per_gate, when)
            self._keep_open(logits.name, site.keep_open)
            is_open = Value(site.name, (site.gates,), "gate")
            self.program.add("gate", is_open, (logits.name,), _rule(gate.strategy, estimator, site.gates), when=when)
            when = site.name if site.kind == "layer" else when
        sites = zip(gate.sites, gate.estimators, strict=True)
        return {site.name for site, estimator in sites if isinstance(estimator, TopK) and estimator.boost}

    def pooled(self, absolute: bool = False) -> str:
        """The mean, or the mean size, of each channel of what is read; of a vector, itself."""
        read = self.program.value(self.read)
        if len(read.shape) == 1:
            return read.name
        if self.averaged:
            return f"{self.averaged}.pool"
        pooled = Value(f"{self.name}.pool", read.shape[:1], gate=read.gate)
        self.program.add("global_pool", pooled, (read.name,), {"counted": True, "absolute": absolute}, when=self.when)
        return pooled.name

    def _logits(
        self, value: Value, head: Head, index: int, features: str | None, logits_per_gate: int, when: str | None
    ) -> None:
        """What a head says of one site."""
        output = head.outputs[index]
        activation = {"activation": "relu"} if isinstance(head, SaliencyHead) else {}
        if isinstance(output, Constant):
            values = self.program.weights(value.name, None, _difference(output.values, logits_per_gate))
            self.program.add("constant", value, (), tensors=values, when=when)
            return
        assert isinstance(output, nn.Linear) and features is not None
        weight, bias = _difference(output.weight, logits_per_gate), _difference(output.bias, logits_per_gate)
        self.program.add("linear", value, (features,), activation, self.program.weights(value.name, weight, bias), when)

    def _keep_open(self, logits: str, count: int) -> None:
        """Let the first logits be those of open gates, whatever a head says."""
        for part, fixed in ((f"{logits}.weight", 0.0), (f"{logits}.bias", OPEN_LOGIT)):
            if count and part in self.program.tensors:
                self.program.tensors[part] = self.program.tensors[part].copy()
                self.program.tensors[part][:count] = fixed

    def _features(self, head: Head) -> str | None:
        """What a head's output layers read, if they read anything."""
        match head:
            case PooledHead():
                return self._hidden(f"{self.name}.hidden", head, self.pooled())
            case MemoryHead():
                (output,), features = head.first.outputs, self._features(head.first)
                assert isinstance(output, nn.Linear) and features is not None
                first = Value(f"{self.name}.first", (output.out_features,))
                weights = self.program.weights(first.name, output.weight, output.bias)
                self.program.add("linear", first, (features,), {}, weights, self.when)
                return self._hidden(f"{self.name}.memory", head, first.name)
            case SaliencyHead():
                return self.pooled(absolute=True)
            case ConvHead():
                return self._convolved(head)
            case FreeLogits():
                return None
        raise InputError(f"head: the engine has no {type(head).__name__}")

    def _hidden(self, name: str, head: PooledHead | MemoryHead, read: str) -> str:
        """A head's hidden neurons: a linear layer, its norm folded in, and ReLU."""
        value = Value(name, (head.hidden.out_features,))
        weights = self.program.weights(name, *folded_linear(head.hidden, head.norm))
        self.program.add("linear", value, (read,), {"activation": "relu"}, weights, self.when)
        return name

    def _convolved(self, head: ConvHead) -> str:
        """Two convolutions, their norms folded in, and the pooled features in a row."""
        read, size = self.read, self.program.value(self.read).shape[1:]
        for part, conv, norm in (("first", head.first, head.first_norm), ("second", head.second, head.second_norm)):
            value = Value(f"{self.name}.{part}", (conv.out_channels, *size))
            weights = self.program.weights(value.name, *folded(conv, norm))
            self.program.add("conv", value, (read,), conv_window(conv) | {"activation": "relu"}, weights, self.when)
            read = value.name
        windows = pool_window(head.pool)
        sides = tuple(side // kernel for side, kernel in zip(size, windows["kernel"], strict=True))
        pooled = Value(f"{self.name}.pool", (head.second.out_channels, *sides))
        features = Value(f"{self.name}.features", (math.prod(pooled.shape),))
        self.program.add("avg_pool", pooled, (read,), windows, when=self.when)
        self.program.add("flatten", features, (pooled.name,), when=self.when)
        return features.name


def _difference(rows: Tensor, logits_per_gate: int) -> Tensor:
    """One logit a gate: of a pair (off, on) only the difference matters, and it is linear too."""
    return rows if logits_per_gate == 1 else rows[1::2] - rows[::2]


def _rule(strategy: Strategy, estimator: Estimator, gates: int) -> dict[str, Attribute]:
    """How a gate decides: the k largest logits are open, or those above the threshold."""
    if not isinstance(strategy, Threshold):
        raise InputError(f"strategy: {strategy} cannot be exported; the engine's gates decide by Threshold(tau)")
    return {"top_k": estimator.count(gates)} if isinstance(estimator, TopK) else {"threshold": strategy.logit}
