"""How a gated graph is run: each mask together with the ops beside it.

    norm -> relu -> channel mask           norm -> masked_relu
    layer mask -> + shortcut (-> relu)     masked_sum

A separate mask is one more pass over a feature map, forward and backward, and one more map to keep in memory. Fused
with its neighbour it costs little. The graph keeps its plain masks, which costs and export read; only the code that
runs it differs.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import fx, nn

from sluicegate.gates.mask import mask_channels, mask_layer, masked_relu, masked_sum
from sluicegate.graph import module_of, shape
from sluicegate.ops import call_of, kind_of

_KEEP_NO_OUTPUT = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.Conv2d)  # themselves: a subclass may end in an activation
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class FusedForward:
    """Runs a gated network with its masks fused.

    The network is run unfused if its code or a fused module has been replaced, or if a module has a hook and the fused
    code would not call the module or would overwrite its output. torch.compile also gets the unfused network, because
    it fuses by itself.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        self._network = network
        self._code = ""
        self._forward: Callable[..., Any] = type(network).forward
        self._touched: list[str] = []

    def __call__(self, *inputs: Any) -> Any:
        network = self._network
        if torch.compiler.is_compiling():
            return network(*inputs)
        if self._code is not network.code:
            self._build()
        if _is_hooked(network) or not all(_is_plain(network.get_submodule(name)) for name in self._touched):
            return network(*inputs)
        return self._forward(network, *inputs)

    def __reduce__(self) -> tuple[type, tuple[fx.GraphModule]]:
        return FusedForward, (self._network,)  # generated code cannot be pickled; it is built anew

    def _build(self) -> None:
        fused = fx.GraphModule(self._network, deepcopy(self._network.graph))
        self._touched = [name for node in list(fused.graph.nodes) for name in _fuse(fused, node)]
        fused.graph.lint()
        fused.recompile()
        self._forward, self._code = type(fused).forward, self._network.code


def _fuse(graph_module: fx.GraphModule, mask: fx.Node) -> list[str]:
    """Fuse one mask, where its neighbours allow it; returns the modules that are left out or overwritten."""
    if mask.target is mask_channels and len(mask.args) == 2:
        return _fuse_relu(graph_module, mask)
    if mask.target is mask_layer:
        return _fuse_sum(graph_module, mask)
    return []


def _fuse_relu(graph_module: fx.GraphModule, mask: fx.Node) -> list[str]:
    relu, factor = mask.all_input_nodes
    if not _is_relu(graph_module, relu) or len(relu.users) > 1:
        return []
    made = relu.all_input_nodes[0]
    if type(module_of(graph_module, made)) not in _KEEP_NO_OUTPUT or len(made.users) > 1:
        return []
    _replace(graph_module.graph, [mask, relu], masked_relu, (made, factor))
    return [str(node.target) for node in (relu, made) if node.op == "call_module"]


def _fuse_sum(graph_module: fx.GraphModule, mask: fx.Node) -> list[str]:
    x, factor = mask.all_input_nodes
    total = next(iter(mask.users))
    if len(mask.users) > 1 or kind_of(total) != "add" or total.kwargs:
        return []
    (shortcut,) = (node for node in total.all_input_nodes if node is not mask)
    if shape(shortcut) != shape(x):
        return []
    relu = next(iter(total.users))
    if len(total.users) > 1 or not _is_relu(graph_module, relu):
        _replace(graph_module.graph, [total, mask], masked_sum, (x, factor, shortcut))
        return []
    _replace(graph_module.graph, [relu, total, mask], masked_sum, (x, factor, shortcut, True))
    return [str(relu.target)] if relu.op == "call_module" else []


def _replace(graph: fx.Graph, nodes: list[fx.Node], target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Put one call in the place of `nodes`, the last of the chain first."""
    with graph.inserting_before(nodes[0]):
        call = graph.call_function(target, args)
    call.meta.update({key: value for key, value in nodes[0].meta.items() if key != "call"})  # no sum any more
    nodes[0].replace_all_uses_with(call)
    for node in nodes:
        graph.erase_node(node)


def _is_relu(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    call = call_of(node)
    if call is None or call.kind != "activation" or call.attributes["function"] != "relu":
        return False
    return node.op != "call_module" or type(module_of(graph_module, node)) is nn.ReLU


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is still what it was fused as, and nobody listens to it."""
    return type(module) in (nn.ReLU, *_KEEP_NO_OUTPUT) and not _is_hooked(module)


def _is_hooked(module: nn.Module) -> bool:
    return any(getattr(module, hooks) for hooks in _HOOKS)
