"""gate_model(): the surgery that puts gates into a network's graph.

For each gate the graph gets a call of its module right after the value that it reads, and a mask after each value
that it closes; what the gates decided leaves the graph beside the network's own output. An exit's classifier stands
right behind its gate, so that whatever comes after it in the graph is work not done for an image that leaves.
"""

import copy
import operator
from collections.abc import Callable, Collection, Sequence

from torch import Tensor, fx, nn

from sluicegate.convert.exits import EXITS
from sluicegate.convert.gating import Gating, Masked, Placement
from sluicegate.convert.model import GatedModel
from sluicegate.errors import InputError
from sluicegate.gates import SiteKind, leave, mask_channels, mask_layer
from sluicegate.graph import copy_in, trace

_RANKS: tuple[SiteKind, ...] = ("channel", "layer", "exit")  # of gates that read the same value, the last comes first
_MASKS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"channel": mask_channels, "layer": mask_layer}


def gate_model(
    net: nn.Module,
    gating: Gating | Sequence[Gating],
    example_inputs: Tensor | tuple[Tensor, ...],
    leaf_modules: Collection[type[nn.Module]] = (),
) -> GatedModel:
    """Put gates into a network.

    Args:
        net: any network that fx can trace; it is copied, not changed.
        gating: where gates go and of what kind: `ChannelGating`, `LayerGating`, `JointGating`,
            `LockedGating`, `GaterGating`, `RecurrentGating`, `ExitGating`; or several, such as channels and exits.
        example_inputs: what the network is called with, e.g. `torch.zeros(1, 3, 224, 224)`; the gated network takes
            inputs of this shape (with any number of images), for which its MACs are exact.
        leaf_modules: classes of modules that tracing must not look into.

    Returns:
        The gated network; its plain modules keep their names under `.network`, its gates are in `.gates`.

    Raises:
        InputError: the network cannot be traced, has gates already, or has no place for such gates; or two gatings put
            gates of the same name.
    """
    if isinstance(net, GatedModel) or hasattr(net, "gates"):
        raise InputError(f"net: {type(net).__name__} already has gates (an attribute `gates`)")
    graph_module = trace(copy.deepcopy(net), example_inputs, leaf_modules)
    graph_module.add_submodule("gates", nn.ModuleDict())
    placements = _placements(graph_module, [gating] if isinstance(gating, Gating) else gating)
    records: dict[str, tuple[fx.Node, fx.Node]] = {}
    masked: dict[fx.Node, fx.Node] = {}
    exits: list[tuple[fx.Node, fx.Node]] = []
    for placement in placements:
        records.update(_insert(graph_module, placement, masked, exits))
    _return_records(graph_module, records)
    _return_exits(graph_module, exits)
    graph_module.graph.lint()
    graph_module.recompile()
    shapes = [tuple(x.shape) for x in ((example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs)]
    return GatedModel(graph_module, shapes)


def _placements(graph_module: fx.GraphModule, gatings: Sequence[Gating]) -> list[Placement]:
    """Where to insert what, in order of execution. What is inserted last behind a value is executed first: an exit,
    since the others read the value for those who stay, and then whether a branch runs, before which of its channels."""
    placements = [p for gating in gatings for p in gating.placements(graph_module)]  # may add nodes
    if not placements:
        raise InputError("gating: it is empty; a network without gates needs no gate_model")
    names = [placement.name for placement in placements]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"gating: it puts gates at {twice!r} twice")
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    return sorted(placements, key=lambda p: (order[p.reads], max(_RANKS.index(site.kind) for site in p.gate.sites)))


def _insert(
    graph_module: fx.GraphModule,
    placement: Placement,
    masked: dict[fx.Node, fx.Node],
    exits: list[tuple[fx.Node, fx.Node]],
) -> dict[str, tuple[fx.Node, fx.Node]]:
    """Insert one gate and its masks, noted in `masked`; returns site name -> the nodes (logits, open). An exit's
    classifier is inserted too, and noted in `exits` as the nodes (what it says, open).

    A head that reads a gated value reads it masked: it may not look at channels that are work not done.
    """
    graph = graph_module.graph
    target = f"gates.{placement.name.replace('.', '_')}"
    graph_module.add_submodule(target, placement.gate)
    reads = masked.get(placement.reads, placement.reads)
    with graph.inserting_after(reads):
        decisions = graph.call_module(target, (reads,))
    last, unpacked = decisions, []
    for i in range(len(placement.gate.sites)):
        unpacked.append(_unpack(graph, decisions, i, last))
        last = unpacked[-1][-1]
    if placement.classifier:
        is_open = unpacked[0][1]
        name = f"{EXITS}.{placement.name.removesuffix('.exit').replace('.', '_')}"
        exits.append((copy_in(graph_module, name, placement.classifier, [reads], before=is_open.next), is_open))
    for site, places, (_, _, factor) in zip(placement.gate.sites, placement.masks, unpacked, strict=True):
        for place in places:
            # A branch that does not run has no channels to look at: its mask comes behind theirs.
            behind = site.kind == "layer" or place.users is not None
            value = masked.get(place.value, place.value) if behind else place.value
            with graph.inserting_after(last if value is reads else value):
                mask = graph.call_function(_MASKS[site.kind], (value, factor))
            _read_masked(value, mask, place)
            if place.users is None:
                masked[place.value] = mask
    names = (site.name for site in placement.gate.sites)
    return {name: (logits, is_open) for name, (logits, is_open, _) in zip(names, unpacked, strict=True)}


def _unpack(graph: fx.Graph, decisions: fx.Node, index: int, after: fx.Node) -> tuple[fx.Node, fx.Node, fx.Node]:
    """The nodes (logits, open, factor) of one site's decision."""
    with graph.inserting_after(after):
        decision = after = graph.call_function(operator.getitem, (decisions, index))
    parts = []
    for part in range(3):
        with graph.inserting_after(after):
            after = graph.call_function(operator.getitem, (decision, part))
        parts.append(after)
    return parts[0], parts[1], parts[2]


def _read_masked(value: fx.Node, mask: fx.Node, place: Masked) -> None:
    """Let those for whom a value is masked read the mask in its place."""
    mask.meta["tensor_meta"] = value.meta["tensor_meta"]
    mask.meta["is_wrapped"] = True  # so that unpickling, which traces the code again, does not look into it
    value.replace_all_uses_with(
        mask, delete_user_cb=lambda user: user is not mask and (place.users is None or user in place.users)
    )


def _return_records(graph_module: fx.GraphModule, records: dict[str, tuple[fx.Node, fx.Node]]) -> None:
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    in_order = dict(sorted(records.items(), key=lambda item: order[item[1][1]]))
    output.args = ((output.args[0], in_order),)


def _return_exits(graph_module: fx.GraphModule, exits: Sequence[tuple[fx.Node, fx.Node]]) -> None:
    """Let the output be that of the first open exit: each one's, or what comes of the exits behind it."""
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    result, records = output.args[0]
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    for early, is_open in sorted(exits, key=lambda found: order[found[0]], reverse=True):
        with graph_module.graph.inserting_before(output):
            later, result = result, graph_module.graph.call_function(leave, (early, is_open, result))
        result.meta["tensor_meta"] = later.meta["tensor_meta"]
        result.meta["is_wrapped"] = True  # see _read_masked
    output.args = ((result, records),)
