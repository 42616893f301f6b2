"""Program -> nn.Module, the way back: for other engines to run and be measured against, or to be lowered anew.

Without gates only, since PyTorch has nothing for a closed one (see `sluicegate_runtime.dense_program`).
"""

import operator
from functools import reduce

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import skip_init

from sluicegate.errors import InputError
from sluicegate.export.passes import activation_module
from sluicegate.nets.cifar_resnet import SubsampleAndPad
from sluicegate_runtime import Artifact, Op
from sluicegate_runtime.spec import attributes_of


def lift(artifact: Artifact) -> fx.GraphModule:
    """A program as a module, in evaluation: [N, C, H, W] -> what the program returns.

    Raises:
        InputError: the program has gates.
    """
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
        if op.kind == "concat":
            node = self.graph.call_function(torch.cat, (reads, 1))
        else:
            first = reads[0] if op.kind == "add" else self._called(op, reads)
            node = reduce(lambda total, read: self.graph.call_function(operator.add, (total, read)), reads[1:], first)
        function = attributes_of(op).get("activation", "none")
        self.nodes[str(op.output)] = node if function == "none" else self._call(activation_module(function), node)

    def finish(self) -> fx.GraphModule:
        """The graph with its output."""
        self.graph.output(self.nodes[self.artifact.program.output])
        return fx.GraphModule(self.modules, self.graph, "Lifted").eval().requires_grad_(False)

    def _called(self, op: Op, reads: list[fx.Node]) -> fx.Node:
        """An op's module, on the first of what it reads."""
        if len(reads) == 1:
            return self._call(self._module(op), reads[0])
        # Before the shortcut that is added to it: of two convolutions under a sum the first one takes it in again.
        with self.graph.inserting_after(reads[0]):
            return self._call(self._module(op), reads[0])

    def _call(self, module: nn.Module, read: fx.Node) -> fx.Node:
        name = f"{type(module).__name__.lower()}_{len(self.modules)}"
        self.modules[name] = module
        return self.graph.call_module(name, (read,))

    def _module(self, op: Op) -> nn.Module:
        has = dict(attributes_of(op))
        tensors = {role: torch.tensor(self.artifact.tensors[name]) for role, name in op.tensors.items()}
        match op.kind:
            case "conv" if not has["counted"]:
                return _norm(tensors)
            case "conv":
                out, per_group, *kernel = tensors["weight"].shape
                given = {key: has[key] for key in ("stride", "padding", "dilation", "groups")}
                conv = skip_init(
                    nn.Conv2d, per_group * has["groups"], out, tuple(kernel), **given, bias="bias" in tensors
                )
                return _filled(conv, tensors)
            case "linear":
                out, features = tensors["weight"].shape
                return _filled(skip_init(nn.Linear, features, out, bias="bias" in tensors), tensors)
            case "max_pool":
                return nn.MaxPool2d(has["kernel"], has["stride"], has["padding"], ceil_mode=has["ceil"])
            case "avg_pool":
                return nn.AvgPool2d(
                    has["kernel"], has["stride"], has["padding"], count_include_pad=has["count_padding"]
                )
            case "global_pool" if not has["absolute"]:
                return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            case "activation":
                return activation_module(has["function"])
            case "resize":
                return nn.Upsample(has["size"], mode="bilinear", align_corners=has["align_corners"])
            case "subsample":
                return _subsample(self.shapes[op.inputs[0]][0], **has)
            case "flatten":
                return nn.Flatten()
        raise InputError(f"lift: op {op.name!r} ({op.kind}) belongs to gates; see sluicegate_runtime.dense_program")


def _filled(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    module.load_state_dict(tensors)
    return module


def _norm(tensors: dict[str, Tensor]) -> nn.Module:
    """A norm that no convolution took in: its mean and variance are in its weights."""
    weight = tensors["weight"].flatten()
    norm = nn.BatchNorm2d(len(weight), eps=0.0)
    state = {"weight": weight, "bias": tensors.get("bias", torch.zeros_like(weight))}
    norm.load_state_dict(norm.state_dict() | state)
    return norm


def _subsample(channels: int, stride: int, before: int, after: int) -> nn.Module:
    module = SubsampleAndPad(channels, channels + before + after, stride)
    module.before, module.after = before, after
    return module
