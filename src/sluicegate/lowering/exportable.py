"""What the engine cannot run, in the network's words."""

from torch import fx

from sluicegate.errors import InputError
from sluicegate.gates import Gate
from sluicegate.graph import copies, is_constant, module_of, path_of, shape, shape_text, tensors_in
from sluicegate.ops import kind_of, room_of
from sluicegate.ops.frame.reading import why_opaque


def refuse_unknown(graph_module: fx.GraphModule) -> None:
    """Refuse what none of the engine's ops does.

    Raises:
        InputError: the network takes several inputs, holds copies of images in a value, or has an op that is none of
            the engine's.
    """
    sources = [node for node in graph_module.graph.nodes if node.op == "placeholder"]
    if len(sources) != 1:
        named = ", ".join(node.name for node in sources)
        raise InputError(f"net: it takes {len(sources)} inputs ({named}); the engine takes one")
    if len(shape(sources[0])) != 4:
        raise InputError(f"net: its input has shape {shape_text(sources[0])}; the engine takes images [N, C, H, W]")
    for node in graph_module.graph.nodes:
        if _is_work(node):
            _refuse(graph_module, node)


def _is_work(node: fx.Node) -> bool:
    """Whether a node makes tensors of images that somebody reads."""
    made = tensors_in(node.meta["values"][0]) if "values" in node.meta else []
    return node.op.startswith("call") and bool(made and node.users) and not is_constant(node)


def _refuse(graph_module: fx.GraphModule, node: fx.Node) -> None:
    if _is_decision(graph_module, node):
        return
    room = room_of(node)
    if room is None or room.lower is None:
        why = why_opaque(graph_module, node) if room is None else f"the engine has no {room.kind}"
        raise InputError(f"net: {path_of(node)!r} cannot be exported: {why}")
    if shape(node) and kind_of(node) != "gate" and copies(node) != 1:
        raise InputError(f"net: {path_of(node)!r} holds several copies of an image; the engine runs one at a time")


def _is_decision(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    source = node
    while source.all_input_nodes and source.op == "call_function":
        source = source.all_input_nodes[0]
    return isinstance(module_of(graph_module, source), Gate)
