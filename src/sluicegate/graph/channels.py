"""What each op does to channels: mixes them, passes them on one by one, or something else.

Legend: C channels (dimension 1 of every value).
"""

import operator
from enum import Enum

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.graph.trace import module_of, shape


class Role(Enum):
    """An op's way with channels."""

    MIX = "every output channel reads every input channel of its group: convolution, linear"
    PASS = "channel c of the output depends on channel c of the input alone"
    ADD = "sum of two values"
    OTHER = "anything else"


_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ZERO_KEEPING_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.Tanh, nn.Identity),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.Dropout, nn.Dropout2d),
)
_ZERO_KEEPING_FUNCTIONS = (
    *(F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, F.mish, torch.tanh),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.dropout),
)
_OTHER_PASSING_MODULES = (nn.Sigmoid, nn.Hardsigmoid)
_ZERO_KEEPING_METHODS = ("relu", "relu_", "contiguous", "tanh")
_ADDITIONS = (operator.add, operator.iadd, torch.add)


def role(graph_module: fx.GraphModule, node: fx.Node) -> Role:
    """An op's role; what is not known is OTHER, so that no gate is put where it could be wrong."""
    if is_depthwise(graph_module, node) or passes_zero(graph_module, node):
        return Role.PASS
    module = module_of(graph_module, node)
    if isinstance(module, (*_CONVOLUTIONS, nn.Linear)):
        return Role.MIX
    if isinstance(module, (*_NORMS, *_OTHER_PASSING_MODULES)):
        return Role.PASS
    if node.target in _ADDITIONS or (node.op == "call_method" and node.target in ("add", "add_")):
        return Role.ADD if len(node.all_input_nodes) == 2 else Role.OTHER
    return Role.OTHER


def passes_zero(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a channel that is zero everywhere comes out as zero (a norm with its shift does not do that)."""
    module = module_of(graph_module, node)
    if isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten"):
        return shape(node) == shape(node.all_input_nodes[0])[:2]  # a pixel for each channel
    if module is not None:
        zero_keeping = isinstance(module, _ZERO_KEEPING_MODULES)
        return zero_keeping or (is_depthwise(graph_module, node) and getattr(module, "bias", None) is None)
    if node.op == "call_function":
        return node.target in _ZERO_KEEPING_FUNCTIONS
    return node.op == "call_method" and node.target in _ZERO_KEEPING_METHODS


def is_convolution(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node is a convolution that mixes channels."""
    return isinstance(module_of(graph_module, node), _CONVOLUTIONS) and not is_depthwise(graph_module, node)


def is_depthwise(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node is a convolution of each channel with one filter of its own."""
    module = module_of(graph_module, node)
    return (
        isinstance(module, _CONVOLUTIONS)
        and module.groups == module.in_channels == module.out_channels
        and module.groups > 1
    )
