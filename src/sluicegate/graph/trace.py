"""nn.Module -> fx graph whose nodes know their shapes."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sluicegate.errors import InputError, one_line

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def trace(
    net: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    leaf_modules: Collection[type[nn.Module]] = (),
) -> fx.GraphModule:
    """Trace a network and note the shape of every value.

    The graph shares the modules of `net`. Modules of torch.nn, subclasses of them (timm's BatchNormAct2d) and modules
    with neither children nor parameters (stochastic depth, CIFAR's parameter-free shortcut) stay whole.

    Args:
        net: the network.
        example_inputs: what it is called with; only shapes and dtypes matter.
        leaf_modules: further classes that stay whole because fx cannot look into them.

    Returns:
        The graph; `shape(node)` reads a node's shape.

    Raises:
        InputError: the network cannot be traced, or does not accept the example inputs.
    """
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    was_training = net.training
    try:
        net.eval()
        graph_module = _traced(net, tuple(leaf_modules))
        _refuse_mode_dependence(net, graph_module, tuple(leaf_modules))
        net.eval()
        _note_shapes(graph_module, net, inputs)
    finally:
        net.train(was_training)
    return graph_module.train(was_training)


def shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of a node's value, batch included; () for values that are not one tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def example_of(node: fx.Node) -> Tensor:
    """Zeros of a node's shape and type."""
    return torch.zeros(shape(node), dtype=node.meta["tensor_meta"].dtype)


def set_shape(node: fx.Node, like: fx.Node, *sides: int) -> None:
    """Note the shape (batch of `like`, *sides) of a node that was added to a traced graph."""
    known = like.meta["tensor_meta"]
    node.meta["tensor_meta"] = known._replace(shape=torch.Size((known.shape[0], *sides)), stride=())


def module_of(graph_module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, if it calls one."""
    return graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None


def copy_in(
    graph_module: fx.GraphModule, name: str, part: fx.GraphModule, inputs: Sequence[fx.Node], before: fx.Node
) -> fx.Node:
    """Copy the nodes of a traced network into a graph, its modules under `name`; returns the node of its output.

    Args:
        graph_module: where to.
        name: of the part in it.
        part: what to copy.
        inputs: nodes that stand for the part's inputs.
        before: node in front of which the copies stand.
    """
    graph_module.add_submodule(name, part)
    copies = dict(zip((n for n in part.graph.nodes if n.op == "placeholder"), inputs, strict=True))
    with graph_module.graph.inserting_before(before):
        for node in part.graph.nodes:
            if node.op == "output":
                return copies[node.args[0]]
            if node.op != "placeholder":
                copies[node] = _copied(graph_module.graph, name, node, copies)
    raise AssertionError("an fx graph ends in its output")


def _copied(graph: fx.Graph, name: str, node: fx.Node, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    target = f"{name}.{node.target}" if node.op in ("call_module", "get_attr") else node.target
    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), copies.__getitem__)
    made = graph.create_node(node.op, target, args, kwargs)
    made.meta = dict(node.meta)
    return made


class _Tracer(fx.Tracer):
    def __init__(self, leaf_modules: tuple[type[nn.Module], ...] = ()) -> None:
        super().__init__()
        self._leaf_modules = leaf_modules

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, self._leaf_modules):
            return True
        if isinstance(m, _CONTAINERS):
            return False
        bare = next(m.parameters(), None) is None and next(m.children(), None) is None
        return bare or any(c.__module__.startswith("torch.nn.modules") for c in type(m).__mro__ if c is not nn.Module)


def _traced(net: nn.Module, leaf_modules: tuple[type[nn.Module], ...]) -> fx.GraphModule:
    try:
        graph = _Tracer(leaf_modules).trace(net)
    except Exception as error:  # whatever the network's own code raises on a proxy
        raise InputError(
            f"net: {type(net).__name__} cannot be traced ({one_line(error)}); pass the class of the module whose "
            "forward branches on values as leaf_modules"
        ) from error
    return fx.GraphModule(net, graph, type(net).__name__)


def _refuse_mode_dependence(
    net: nn.Module, evaluated: fx.GraphModule, leaf_modules: tuple[type[nn.Module], ...]
) -> None:
    """A trace freezes `self.training`; a network whose graph depends on it would train as if it were evaluated."""
    net.train()
    trained = _traced(net, leaf_modules)
    lines = [[node.format_node() for node in g.graph.nodes] for g in (evaluated, trained)]
    differing = next((pair for pair in zip(*lines, strict=False) if pair[0] != pair[1]), None)
    if differing or len(lines[0]) != len(lines[1]):
        where = f"first at {differing[1]}" if differing else "in its length"
        raise InputError(
            f"net: the graph of {type(net).__name__} depends on training mode, {where}; it must be the same in both"
        )


@torch.no_grad()
def _note_shapes(graph_module: fx.GraphModule, net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    try:
        ShapeProp(graph_module.eval()).propagate(*inputs)
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise InputError(
            f"example_inputs: {type(net).__name__} does not accept inputs of shape {shapes}: "
            f"{one_line(error.__cause__ or error)}"
        ) from error
