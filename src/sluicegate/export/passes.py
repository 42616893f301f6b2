"""What becomes one op: a convolution with the norm, the sum and the activation behind it.

    conv -> [norm] -> [activation]                     conv with folded weights, bias and activation
    conv -> [norm] -> [layer mask] -> + shortcut -> [activation]   the same with a residual input
    norm -> [activation]                               conv of one weight a channel, left out of the count of MACs

Each step is taken only if nobody else reads what is in between. Masks are no ops: a channel mask says which gate a
value bears, a layer mask says which region is skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from sluicegate.errors import InputError
from sluicegate.gates import mask_channels, mask_layer
from sluicegate.graph import Role, module_of, role

_ACTIVATION_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
}
_ACTIVATION_TARGETS: dict[object, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    "relu_": "relu",
    F.relu6: "relu6",
    F.silu: "silu",
    F.hardswish: "hardswish",
    torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
}
_IDLE_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True)
class Fused:
    """A convolution and what it absorbs; the op is emitted at `tail`, where all that it reads exists. A norm that no
    convolution stands before (those of pre-activation blocks) makes one of its own: `conv` is None."""

    conv: fx.Node | None
    norm: fx.Node | None
    residual: fx.Node | None
    activation: str
    tail: fx.Node

    @property
    def head(self) -> fx.Node:
        """Where it begins."""
        head = self.conv or self.norm
        assert head is not None
        return head


def fuse(graph_module: fx.GraphModule) -> dict[fx.Node, Fused]:
    """Every node that goes into a fused convolution -> that fusion."""
    found: dict[fx.Node, Fused] = {}
    for node in graph_module.graph.nodes:
        module = module_of(graph_module, node)
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.BatchNorm2d) and node not in found):
            members, fused = _grow(graph_module, node, set(found))
            found.update(dict.fromkeys(members, fused))
    return found


def does_nothing(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node hands its input on as it is, in evaluation."""
    return isinstance(module_of(graph_module, node), _IDLE_MODULES) or node.target in (F.dropout, "contiguous")


def is_sum(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node adds two values as they are; torch may scale the second."""
    return role(graph_module, node) is Role.ADD and node.kwargs.get("alpha") in (None, 1)


def activation_of(graph_module: fx.GraphModule, node: fx.Node) -> str | None:
    """The program's name of the activation that a node applies, if it does nothing else."""
    module = module_of(graph_module, node)
    return activation_name(module) if module is not None else _ACTIVATION_TARGETS.get(node.target)


def activation_name(module: nn.Module) -> str | None:
    """The program's name of an activation module."""
    return next((name for kind, name in _ACTIVATION_MODULES.items() if type(module) is kind), None)


def activation_module(name: str) -> nn.Module:
    """The module of an activation that a program names; "none" is the identity."""
    return next((kind() for kind, known in _ACTIVATION_MODULES.items() if known == name), nn.Identity())


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weight [out, in / groups, kh, kw] and bias [out] of a convolution with a batch norm (in evaluation) behind it."""
    if norm is None:
        return conv.weight, conv.bias
    mean, variance = _statistics(norm)
    return fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)


def norm_alone(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor | None]:
    """Weight [C, 1, 1, 1] and bias [C] of a batch norm, in evaluation, as a convolution of one weight a channel."""
    mean, variance = _statistics(norm)
    unit = torch.ones_like(mean)[:, None, None, None]
    return fuse_conv_bn_weights(unit, None, mean, variance, norm.eps, norm.weight, norm.bias)


def folded_linear(linear: nn.Linear, norm: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight [out, in] and bias [out] of a linear layer with a batch norm, or with an identity, behind it."""
    if not isinstance(norm, nn.BatchNorm1d):
        return linear.weight, linear.bias
    mean, variance = _statistics(norm)
    return fuse_linear_bn_weights(linear.weight, linear.bias, mean, variance, norm.eps, norm.weight, norm.bias)


def _grow(graph_module: fx.GraphModule, head: fx.Node, taken: set[fx.Node]) -> tuple[list[fx.Node], Fused]:
    chain = _Chain(graph_module, head)
    residual, activation = None, "none"
    conv = head if isinstance(module_of(graph_module, head), nn.Conv2d) else None
    norm = chain.take(lambda n: isinstance(module_of(graph_module, n), nn.BatchNorm2d)) if conv else head
    if norm:
        activation = _activation_inside(graph_module.get_submodule(str(norm.target)))
    if activation == "none":
        mask = chain.take(lambda n: n.target is mask_layer)
        total = chain.take(lambda n: n not in taken and _other_summand(graph_module, n, chain.members) is not None)
        if total:
            residual = _other_summand(graph_module, total, chain.members)
        elif mask:
            chain.drop(mask)  # nothing behind it that could absorb it
    if activation == "none" and chain.members[-1].target is not mask_layer:
        applied = chain.take(lambda n: activation_of(graph_module, n) is not None)
        activation = activation_of(graph_module, applied) or "none" if applied else "none"
    return chain.members, Fused(conv, norm, residual, activation, chain.members[-1])


class _Chain:
    """A node and those behind it, as long as each is read by one other alone."""

    def __init__(self, graph_module: fx.GraphModule, start: fx.Node) -> None:
        self.graph_module = graph_module
        self.members = [start]

    def take(self, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
        """Append the next node, and what does nothing before it, if it is wanted."""
        skipped: list[fx.Node] = []
        node = _only_user(self.members[-1])
        while node is not None and does_nothing(self.graph_module, node):
            skipped.append(node)
            node = _only_user(node)
        if node is None or not wanted(node):
            return None
        self.members += [*skipped, node]
        return node

    def drop(self, node: fx.Node) -> None:
        """Cut the chain off in front of a member."""
        self.members = self.members[: self.members.index(node)]


def _other_summand(graph_module: fx.GraphModule, node: fx.Node, chain: list[fx.Node]) -> fx.Node | None:
    """What a node adds to a chain's end, if it is a sum and if no gate has closed that other value."""
    if not is_sum(graph_module, node):
        return None
    ends = [n for n in node.all_input_nodes if n in chain or _comes_idly_from(graph_module, n, chain)]
    others = [n for n in node.all_input_nodes if n not in ends]
    return others[0] if len(others) == 1 and others[0].target not in (mask_layer, mask_channels) else None


def _comes_idly_from(graph_module: fx.GraphModule, node: fx.Node, chain: list[fx.Node]) -> bool:
    while does_nothing(graph_module, node):
        node = node.all_input_nodes[0]
    return node is chain[-1]


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation_inside(norm: nn.Module) -> str:
    """Of a norm that brings its activation along, as timm's do."""
    inside = getattr(norm, "act", None)
    if inside is None or isinstance(inside, nn.Identity):
        return "none"
    name = activation_name(inside)
    if name is None:
        raise InputError(f"net: the engine has no activation {type(inside).__name__}")
    return name


def _statistics(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise InputError("net: a batch norm without running statistics cannot be exported")
    return norm.running_mean, norm.running_var
