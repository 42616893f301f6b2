"""Reading a network: nn.Module -> fx graph in normal form.

Every node has its value's shape and layout (`graph`, `layout.py`) and, if a room supports the op, its `Call`, however
torch spells it. In-place ops have become pure: later readers of the operand read the result, as in torch's memory. An
op without a room is opaque: the network can be trained, but no gate acts through this op, and export refuses it.
"""

from collections.abc import Collection, Iterable
from typing import Any

from torch import Tensor, fx, nn

from sluicegate.gates.heads import pool, pool_sizes
from sluicegate.gates.recurrent import hidden_of
from sluicegate.graph import Spellings, class_name, is_constant, is_hooked, module_of, note_values, shape, trace
from sluicegate.ops.frame.inplace import make_pure
from sluicegate.ops.frame.layout import Layout, default_layout, layout_of
from sluicegate.ops.frame.room import call_of
from sluicegate.ops.frame.spelled_out import spell_out
from sluicegate.ops.frame.table import WHOLE, module_parser, parsed
from sluicegate.ops.identity import handed_on


def _norm_act(self: Any, x: Any) -> Any:
    """timm's batch norm that drops and activates: the norm, then what follows it."""
    return self.act(self.drop(nn.BatchNorm2d.forward(self, x)))


_READ = "read by sluicegate"
SPELLINGS = Spellings(
    WHOLE | {"timm.layers.drop.DropPath", "torchvision.ops.stochastic_depth.StochasticDepth"},
    {"timm.layers.norm_act.BatchNormAct2d": _norm_act},
    (pool, pool_sizes, hidden_of),
)


def read_network(
    net: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    leaf_modules: Collection[type[nn.Module]] = (),
    in_both_modes: bool = True,
) -> fx.GraphModule:
    """Trace a network and note what every node does.

    Args:
        net: the network.
        example_inputs: what it is called with, [n, C, H, W]; only shapes and dtypes matter.
        leaf_modules: classes of modules that tracing must keep whole.
        in_both_modes: check that training computes the same; not needed for our own parts.

    Returns:
        The graph, which shares the modules of `net`.

    Raises:
        InputError: the network cannot be traced, writes into a value in an unsupported way, or does not accept
            the example inputs.
    """
    graph_module = trace(net, example_inputs, leaf_modules, SPELLINGS, in_both_modes)
    make_pure(graph_module)
    spell_out(graph_module)
    _leave_out_unread(graph_module)
    read_again(graph_module)
    graph_module.meta[_READ] = True
    return graph_module


def _leave_out_unread(graph_module: fx.GraphModule) -> None:
    """Remove nodes that nothing reads, unless they write into a value that is read."""
    count = len(graph_module.graph.nodes)
    for node in reversed(list(graph_module.graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output") and not node.meta.get("writes"):
            graph_module.graph.erase_node(node)
    if len(graph_module.graph.nodes) != count:
        graph_module.recompile()


def is_read(net: nn.Module) -> bool:
    """Whether a network is a graph that `read_network` made, and no copy of one."""
    if not isinstance(net, fx.GraphModule) or not net.meta.get(_READ):
        return False
    calls = [call for node in net.graph.nodes if (call := call_of(node))]
    return all(x.graph is net.graph for call in calls for x in call.inputs)


def read_copy(graph_module: fx.GraphModule, examples: Iterable[Tensor]) -> None:
    """Read a graph that was made of one that was read: what its nodes know is of the other graph, or is lost.

    Args:
        graph_module: a copy, what pickle made of one, or a smaller graph.
        examples: of its inputs, which matter where their shapes are lost.
    """
    if not all(shape(node) for node in graph_module.graph.nodes if node.op == "placeholder"):
        note_values(graph_module, examples)
    spell_out(graph_module)
    read_again(graph_module)
    graph_module.meta[_READ] = True


def read_again(graph_module: fx.GraphModule) -> None:
    """Say of every node of a graph that has changed what it does."""
    for node in graph_module.graph.nodes:
        read_node(graph_module, node)


def read_node(graph_module: fx.GraphModule, node: fx.Node) -> None:
    """Note the call and the layout of one node, whose inputs have been read."""
    if node.op in ("output", "get_attr") or is_constant(node):
        return
    if node.op == "placeholder":
        node.meta["layout"] = default_layout(len(shape(node)))
        return
    module = module_of(graph_module, node)
    node.meta.pop("call", None)
    call = None
    if not (module is not None and is_hooked(module)):
        call = parsed(node, module)
        if call is None and module is not None and node.meta.get("hands_on"):
            call = handed_on(node, module, *node.args)
    if call is not None:
        node.meta["call"] = call
        first = layout_of(call.inputs[0]) if call.inputs else None
        node.meta["layout"] = call.layout or first
    elif shape(node):
        node.meta["layout"] = _likely_layout(node)


def _likely_layout(node: fx.Node) -> Layout:
    """Of a value of which only the shape is known: that of an input of this shape, else what is usual."""
    alike = (x for x in node.all_input_nodes if shape(x) == shape(node) and not is_constant(x))
    same = next(alike, None)
    return layout_of(same) if same else default_layout(len(shape(node)))


def why_opaque(graph_module: fx.GraphModule, node: fx.Node) -> str:
    """Why no room knows what a node does, in a few words."""
    module = module_of(graph_module, node)
    if reason := node.meta.get("opaque"):
        return reason
    if module is None:
        return f"{_spelled(node)} is used in a way that no op covers"
    if is_hooked(module):
        return "it has a hook, which may change its output"
    if module_parser(module):
        return f"{type(module).__name__} is used in a way that no op covers"
    return f"{class_name(module)} is no op that is known"


def _spelled(node: fx.Node) -> str:
    return str(node.target) if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
