"""One MAC formula per op.

Legend: N images, C channels, k kernel size, H W output pixels, K hidden neurons, P outputs.

    convolution   k_h k_w H W  sum over groups (inputs * outputs)
    linear        inputs * outputs (times the tokens it is applied to)
    matmul        output elements * inner dimension
    gate head     C H W (pooling: an addition each), C K (hidden layer), K P (an output layer); of C, the open ones;
                  with a memory 2 K P more; of an exit 9 H W C K and 9 H W K K (convolutions), then the output layer
    shared state  C H W + C F (pooled features), 4 D (F + D) (LSTM of D neurons; 4 D F at the first gate, without state)

Pools count their window per output, norms and additions one per element: they are listed, never summed (see
`MacModel`).
"""

import math
import operator
from dataclasses import dataclass, field
from functools import singledispatch
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from sluicegate.errors import InputError
from sluicegate.gates import ConvHead, FreeLogits, Head, LstmCell, MemoryHead, PooledFeatures, PooledHead, SaliencyHead
from sluicegate.graph import Role, module_of, role, shape

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)
_WINDOW_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_ADAPTIVE_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_PRODUCTS = (torch.matmul, torch.mm, torch.bmm, operator.matmul)
_PRODUCT_METHODS = ("matmul", "mm", "bmm")
_UNCOUNTED = (torch.einsum, torch.tensordot, torch.addmm, torch.baddbmm, F.bilinear)


@dataclass(frozen=True)
class Term:
    """MACs of one op for one image: unit * (open inputs * open outputs, group by group) * (1 if its branch runs and the
    image comes that far).

    Attributes:
        module: whose work it is.
        kind: conv, linear, matmul, gate, exit, pool, norm or add.
        unit: MACs for one pair of input and output channel.
        inputs, outputs: channels on both sides.
        groups: groups of a convolution.
        inputs_site, outputs_site: the channel site that closes them, if any.
        layers: the layer sites that skip the op; of a classifier its own exit, which must be open.
        exits: the exit sites before the op, all of which must be closed.
    """

    module: str
    kind: str
    unit: int
    inputs: int = 1
    outputs: int = 1
    groups: int = 1
    inputs_site: str | None = None
    outputs_site: str | None = None
    layers: frozenset[str] = field(default_factory=frozenset)
    exits: frozenset[str] = field(default_factory=frozenset)

    @property
    def dense(self) -> int:
        """With every gate open."""
        return self.unit * self.inputs * self.outputs // self.groups

    @property
    def sites(self) -> frozenset[str]:
        """The sites that have a say."""
        return self.layers | self.exits | {s for s in (self.inputs_site, self.outputs_site) if s}


def op_term(graph_module: fx.GraphModule, node: fx.Node) -> Term | None:
    """The term of one op with all gates open; None for an op that is not worth a line.

    Raises:
        InputError: it multiplies matrices and no formula says how often.
    """
    module = module_of(graph_module, node)
    if module is None:
        return _function_term(graph_module, node)
    name = str(node.target)
    out = shape(node)
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        positions = shape(node.all_input_nodes[0]) if isinstance(module, _TRANSPOSED) else out
        unit = math.prod(module.kernel_size) * math.prod(positions[2:])
        return Term(name, "conv", unit, module.in_channels, module.out_channels, module.groups)
    if isinstance(module, nn.Linear):
        return Term(name, "linear", math.prod(out[1:-1]), module.in_features, module.out_features)
    if isinstance(module, PooledFeatures):
        positions = math.prod(shape(node.all_input_nodes[0])[2:])
        return Term(name, "gate", positions + module.linear.out_features, module.linear.in_features)
    if isinstance(module, LstmCell):
        state = module.cell.hidden_size if len(node.all_input_nodes) == 2 else 0
        return Term(name, "gate", 4, module.cell.input_size + state, module.cell.hidden_size)
    if isinstance(module, _WINDOW_POOLS):
        size = module.kernel_size
        return Term(name, "pool", math.prod(out[1:]) * (size**2 if isinstance(size, int) else math.prod(size)))
    if isinstance(module, _ADAPTIVE_POOLS):
        return Term(name, "pool", math.prod(shape(node.all_input_nodes[0])[1:]))
    if isinstance(module, _NORMS):
        return Term(name, "norm", math.prod(out[1:]))
    if any(parameter.dim() > 1 for parameter in module.parameters()):
        raise InputError(f"net: no MAC formula for {name!r} ({type(module).__name__})")
    return None


def _function_term(graph_module: fx.GraphModule, node: fx.Node) -> Term | None:
    out = shape(node)
    operands = [shape(n) for n in node.all_input_nodes]
    if role(graph_module, node) is Role.ADD:
        return Term(node.name, "add", math.prod(out[1:]))
    if node.target in (F.conv1d, F.conv2d, F.conv3d):
        images, weight = operands[:2]
        unit = math.prod(weight[2:]) * math.prod(out[2:])
        return Term(node.name, "conv", unit, images[1], weight[0], images[1] // weight[1])
    if node.target is F.linear:
        return Term(node.name, "linear", math.prod(out[1:-1]), operands[1][1], operands[1][0])
    if node.target in _UNCOUNTED:
        raise InputError(f"net: no MAC formula for {node.name!r} ({node._pretty_print_target(node.target)})")
    if node.target in _PRODUCTS or (node.op == "call_method" and node.target in _PRODUCT_METHODS):
        return Term(node.name, "matmul", math.prod(out) * operands[0][-1] // _batch(graph_module))
    if node.target is F.scaled_dot_product_attention:
        query, key = operands[:2]
        return Term(node.name, "matmul", 2 * math.prod(query) * key[-2] // _batch(graph_module))
    return None


def _batch(graph_module: fx.GraphModule) -> int:
    return shape(next(n for n in graph_module.graph.nodes if n.op == "placeholder"))[0]


class HeadMacs(NamedTuple):
    """A head's MACs for one image: per channel that it reads for pooling and for the hidden layer, and per output
    layer; `between` is what lies there, the same for any image."""

    pooling: int
    hidden: int
    outputs: tuple[int, ...]
    between: int = 0


@singledispatch
def head_macs(head: Head, reads: tuple[int, ...]) -> HeadMacs:
    """The MACs of a head that reads [N, C, H, W], or a vector [N, C].

    Raises:
        InputError: a head without a formula.
    """
    raise InputError(f"head: no MAC formula for {type(head).__name__}; register one with head_macs.register")


@head_macs.register
def _(head: PooledHead, reads: tuple[int, ...]) -> HeadMacs:
    outputs = tuple(output.weight.numel() for output in head.outputs if isinstance(output, nn.Linear))
    pooling = math.prod(reads[2:]) if len(reads) > 2 else 0
    return HeadMacs(pooling, head.hidden.out_features, outputs)


@head_macs.register
def _(head: FreeLogits, reads: tuple[int, ...]) -> HeadMacs:
    return HeadMacs(0, 0, (0,) * len(head.outputs))


@head_macs.register
def _(head: MemoryHead, reads: tuple[int, ...]) -> HeadMacs:
    first = head_macs(head.first, reads)
    (output,) = head.outputs
    assert isinstance(output, nn.Linear)
    return first._replace(outputs=(output.weight.numel(),), between=first.outputs[0] + head.hidden.weight.numel())


@head_macs.register
def _(head: ConvHead, reads: tuple[int, ...]) -> HeadMacs:
    """Its pool is like those of the network, which are not counted."""
    positions = math.prod(reads[2:])
    outputs = tuple(output.weight.numel() for output in head.outputs if isinstance(output, nn.Linear))
    per_channel = positions * head.first.weight[:, 0].numel()
    return HeadMacs(0, per_channel, outputs, between=positions * head.second.weight.numel())


@head_macs.register
def _(head: SaliencyHead, reads: tuple[int, ...]) -> HeadMacs:
    """Its one layer reads the pooled channels, as a hidden layer does."""
    (output,) = head.outputs
    assert isinstance(output, nn.Linear)
    return HeadMacs(math.prod(reads[2:]), output.out_features, (0,))
