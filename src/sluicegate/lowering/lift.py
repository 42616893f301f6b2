"""Program -> nn.Module, the way back: for other engines to run and be measured against, or to be lowered anew.

Without gates only, since PyTorch has nothing for a closed one (see `sluicegate_runtime.without_gates`).
"""

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import skip_init

from sluicegate.errors import InputError
from sluicegate.lowering.lifted import Axes, ChannelNorm, Function, Product, ResponseNorm, View
from sluicegate.nets.cifar_resnet import SubsampleAndPad
from sluicegate_runtime import Artifact, Op, attributes_of

Tensors = Mapping[str, Tensor]
Shape = tuple[int, ...]


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
        if op.kind == "concat":
            node = self.graph.call_function(torch.cat, (reads, 1))
        elif op.kind == "multiply":
            node = self._call(Product(), *reads)
        else:
            first = reads[0] if op.kind == "add" else self._called(op, has, reads)
            node = reduce(lambda total, read: self.graph.call_function(operator.add, (total, read)), reads[1:], first)
        function = has.get("activation", "none")
        applied = function != "none"
        self.nodes[str(op.output)] = self._call(activation_module(function, has["alpha"]), node) if applied else node

    def finish(self) -> fx.GraphModule:
        """The graph with its output."""
        (output,) = self.artifact.program.outputs.values()
        self.graph.output(self.nodes[output])
        return fx.GraphModule(self.modules, self.graph, "Lifted").eval().requires_grad_(False)

    def _called(self, op: Op, has: Mapping[str, Any], reads: list[fx.Node]) -> fx.Node:
        """An op's module, on the first of what it reads."""
        tensors = {role: torch.tensor(self.artifact.tensors[name]) for role, name in op.tensors.items()}
        make = _MAKERS.get(op.kind)
        module = make(has, tensors, self.shapes[op.inputs[0]], self.shapes[str(op.output)]) if make else None
        if module is None:
            raise InputError(f"lift: op {op.name!r} ({op.kind}) has no module in torch, or belongs to gates")
        if len(reads) == 1:
            return self._call(module, reads[0])
        # Before the shortcut that is added to it: of two convolutions under a sum the first one takes it in again.
        with self.graph.inserting_after(reads[0]):
            return self._call(module, reads[0])

    def _call(self, module: nn.Module, *reads: fx.Node) -> fx.Node:
        name = f"{type(module).__name__.lower()}_{len(self.modules)}"
        self.modules[name] = module
        return self.graph.call_module(name, reads)


def activation_module(function: str, alpha: float) -> nn.Module:
    """The module of an activation that a program names."""
    known: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "leaky_relu": lambda: nn.LeakyReLU(alpha),
        "elu": lambda: nn.ELU(alpha),
        "silu": nn.SiLU,
        "hardswish": nn.Hardswish,
        "sigmoid": nn.Sigmoid,
        "hardsigmoid": nn.Hardsigmoid,
        "tanh": nn.Tanh,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU("tanh"),
        "mish": nn.Mish,
        "softplus": nn.Softplus,
        "none": nn.Identity,
    }
    return known[function]()


def _conv(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    if not has["counted"]:
        return _norm(tensors)
    out, per_group, *kernel = tensors["weight"].shape
    given = {key: has[key] for key in ("stride", "padding", "dilation", "groups")}
    sizes = (per_group * has["groups"], out, tuple(kernel))
    return _filled(skip_init(nn.Conv2d, *sizes, **given, bias="bias" in tensors), tensors)


def _transposed(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    inputs, per_group, *kernel = tensors["weight"].shape
    given = {key: has[key] for key in ("stride", "padding", "output_padding", "dilation", "groups")}
    sizes = (inputs, per_group * has["groups"], tuple(kernel))
    return _filled(skip_init(nn.ConvTranspose2d, *sizes, **given, bias="bias" in tensors), tensors)


def _linear(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    out, features = tensors["weight"].shape
    return _filled(skip_init(nn.Linear, features, out, bias="bias" in tensors), tensors)


def _norm(tensors: Tensors) -> nn.Module:
    """A norm that no convolution took in: its mean and variance are in its weights."""
    weight = tensors["weight"].flatten()
    norm = nn.BatchNorm2d(len(weight), eps=0.0)
    state = {"weight": weight, "bias": tensors.get("bias", torch.zeros_like(weight))}
    norm.load_state_dict(norm.state_dict() | state)
    return norm


def _prelu(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return _filled(nn.PReLU(len(tensors["weight"])), tensors)


def _group_norm(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    norm = nn.GroupNorm(has["groups"], read[0], has["eps"])
    return _filled(norm, {"weight": torch.ones(read[0]), "bias": torch.zeros(read[0]), **tensors})


def _global_pool(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module | None:
    pools = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
    return nn.Sequential(pools[has["function"]](1), nn.Flatten()) if has["function"] in pools else None


def _subsample(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    module = SubsampleAndPad(read[0], made[0], has["stride"])
    module.before, module.after = has["before"], has["after"]
    return module


def _pad(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return Function(
        nn.functional.pad,
        [has[side] for side in ("left", "right", "top", "bottom")],
        has["mode"],
        *([has["fill"]] if has["mode"] == "constant" else []),
    )


def _resize(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    align = has["align_corners"] if has["mode"] == "bilinear" else None
    return nn.Upsample(has["size"], mode=has["mode"], align_corners=align)


def _adaptive(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return (nn.AdaptiveMaxPool2d if has["maximum"] else nn.AdaptiveAvgPool2d)(has["size"])


def _max_pool(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return nn.MaxPool2d(has["kernel"], has["stride"], has["padding"], has["dilation"], ceil_mode=has["ceil"])


def _avg_pool(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return nn.AvgPool2d(has["kernel"], has["stride"], has["padding"], has["ceil"], has["count_padding"])


def _crop(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    starts, spans = (has["top"], has["left"]), zip(has["stride"], has["size"], strict=True)
    cuts = [
        slice(start, start + step * (size - 1) + 1, step) for start, (step, size) in zip(starts, spans, strict=True)
    ]
    return Axes((slice(None), slice(None), *cuts))


def _slice(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    return Axes((slice(None), slice(has["start"], has["start"] + has["size"])))


def _softmax(has: Mapping[str, Any], tensors: Tensors, read: Shape, made: Shape) -> nn.Module:
    sides = (has["outer"], has["size"], has["inner"], *made[1:])
    return nn.Sequential(View(sides), nn.Softmax(2), View(made))


_MAKERS: dict[str, Callable[[Mapping[str, Any], Tensors, Shape, Shape], nn.Module | None]] = {
    "conv": _conv,
    "transposed_conv": _transposed,
    "linear": _linear,
    "prelu": _prelu,
    "group_norm": _group_norm,
    "layer_norm": lambda has, tensors, read, made: ChannelNorm(has["eps"], tensors.get("weight"), tensors.get("bias")),
    "response_norm": lambda has, tensors, *_: ResponseNorm(has["eps"], tensors.get("weight"), tensors.get("bias")),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_pool": _adaptive,
    "global_pool": _global_pool,
    "activation": lambda has, tensors, read, made: activation_module(has["function"], has["alpha"]),
    "affine": lambda has, tensors, read, made: Function(torch.add, has["shift"], scale=has["scale"]),
    "resize": _resize,
    "subsample": _subsample,
    "reshape": lambda has, tensors, read, made: View(made),
    "shuffle": lambda has, tensors, read, made: nn.ChannelShuffle(has["groups"]) if len(read) == 3 else None,
    "pixel_shuffle": lambda has, tensors, read, made: nn.PixelShuffle(has["factor"]),
    "pixel_unshuffle": lambda has, tensors, read, made: nn.PixelUnshuffle(has["factor"]),
    "slice": _slice,
    "crop": _crop,
    "pad": _pad,
    "softmax": _softmax,
}


def _filled(module: nn.Module, tensors: Tensors) -> nn.Module:
    module.load_state_dict(dict(tensors))
    return module
