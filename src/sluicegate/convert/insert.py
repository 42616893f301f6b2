"""gate_model(): puts gates into a network's graph.

For each gate, the nodes of its head and a call of the gate are inserted right after the value that the head reads. A
mask is inserted after each value that the gate closes. The graph returns the decisions of the gates together with the
network's output. An exit's classifier comes right after its gate, so everything later in the graph is skipped for an
image that leaves.
"""

import copy
import operator
from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor, fx, nn

from sluicegate.convert.exits import EXITS
from sluicegate.convert.gating import Gating, Masked, Placement
from sluicegate.convert.model import GatedModel
from sluicegate.costs import liveness
from sluicegate.errors import InputError
from sluicegate.gates import Gate, GateSite, Head, SiteKind, closed_with, leave, mask_channels, mask_layer, on_minus_off
from sluicegate.graph import (
    cannot_be_copied,
    check_same,
    copies,
    copy_in,
    example_of,
    note_shape,
    output_of,
    path_of,
)
from sluicegate.ops import PLANE, VECTOR, call_of, layout_of, read_again, read_network, read_node

_RANKS: tuple[SiteKind, ...] = ("channel", "layer", "exit")  # of gates that read the same value, the last comes first


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
            `SharedGating`, `GaterGating`, `RecurrentGating`, `ExitGating`; or several, such as channels and exits.
        example_inputs: an input of the network, e.g. `torch.zeros(1, 3, 224, 224)`. The gated network takes inputs of
            this shape, with any number of images, and its MACs are exact for this shape.
        leaf_modules: classes of modules that tracing must keep whole.

    Returns:
        The gated network. The original modules keep their names under `.network`; the gates are in `.gates`.

    Raises:
        InputError: the network cannot be traced, or the traced graph computes something else; the network already has
            gates, or no place for such gates; or two gatings put gates at the same place.
    """
    if isinstance(net, GatedModel) or hasattr(net, "gates"):
        raise InputError(f"net: {type(net).__name__} already has gates (an attribute `gates`)")
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    own = copied(net)
    graph_module = read_network(own, inputs, leaf_modules)
    check_same(own, graph_module, inputs)
    graph_module.add_submodule("gates", nn.ModuleDict())
    placements = _placements(graph_module, [gating] if isinstance(gating, Gating) else gating)
    surgery = _Surgery(graph_module)
    for placement in placements:
        surgery.insert(placement)
    read_again(graph_module)
    share_pools(graph_module)
    _return_records(graph_module, _closed_with_layers(graph_module, surgery.records))
    _return_exits(graph_module, surgery.exits)
    graph_module.graph.lint()
    graph_module.recompile()
    return GatedModel(graph_module, [tuple(x.shape) for x in inputs])


def copied(net: nn.Module) -> nn.Module:
    """A copy of a network.

    Raises:
        InputError: it cannot be copied, as where a hook computes a weight.
    """
    try:
        return copy.deepcopy(net)
    except Exception as error:
        raise cannot_be_copied(net, error) from error


def _placements(graph_module: fx.GraphModule, gatings: Sequence[Gating]) -> list[Placement]:
    """The gates to insert, in order of execution. Of gates after the same value, the one inserted last is executed
    first. That must be the exit, because the other gates are for images that go on; then the layer gate, then channel
    gates."""
    placements = [p for gating in gatings for p in gating.placements(graph_module)]  # may add nodes
    if not placements:
        raise InputError("gating: it is empty; a network without gates needs no gate_model")
    names = [site.name for placement in placements for site in placement.gate.sites]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"gating: it puts gates at {twice!r} twice")
    for placement in placements:
        _refuse_copies(placement)
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    return sorted(placements, key=lambda p: (order[p.reads], max(_RANKS.index(site.kind) for site in p.gate.sites)))


def _refuse_copies(placement: Placement) -> None:
    """A gate decides once for each image, so the values that it reads and closes must contain each image once."""
    for value in (placement.reads, *(place.value for places in placement.masks for place in places)):
        if (count := copies(value)) != 1:
            what = f"{count} copies of each image" if count else "not a row for each image"
            where = f"gates at {placement.name!r} decide once for each"
            raise InputError(f"gating: {path_of(value)!r} holds {what}; {where}")


class _Surgery:
    """Inserts gates one by one.

    Attributes:
        masked: value -> the last mask after it. A head that reads a gated value reads it masked, because closed
            channels are not computed.
        records: site name -> the nodes (logits, open).
        exits: the output of each exit's classifier, and the decision of its gate.
    """

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module, self.graph = graph_module, graph_module.graph
        self.masked: dict[fx.Node, fx.Node] = {}
        self.records: dict[str, tuple[fx.Node, fx.Node]] = {}
        self.exits: list[tuple[fx.Node, fx.Node]] = []
        self.names = _Names()
        self._heads: dict[Any, fx.GraphModule] = {}

    def insert(self, placement: Placement) -> None:
        """The head's nodes, the gate, what it decided, its masks, an exit's classifier."""
        gate = placement.gate
        target = f"gates.{self.names.key(placement.name)}"
        self.graph_module.add_submodule(target, gate)
        reads = self.masked.get(placement.reads, placement.reads)
        decisions = self._decide(target, gate, reads)
        unpacked, last = [], decisions
        for i in range(len(gate.sites)):
            unpacked.append(_unpack(self.graph, decisions, i, last))
            last = unpacked[-1][-1]
        if placement.classifier:
            self._classify(placement, reads, unpacked[0][1])
        for site, places, (_, _, factor) in zip(gate.sites, placement.masks, unpacked, strict=True):
            for place in places:
                self._mask(site, place, factor, after=last, reads=reads)
        for site, (logits, is_open, _) in zip(gate.sites, unpacked, strict=True):
            self.records[site.name] = (logits, is_open)

    def _decide(self, target: str, gate: Gate, reads: fx.Node) -> fx.Node:
        """What the head says of each site, one logit a gate, and what the gate makes of it."""
        reads = self._channels_first(reads)
        head = self._read(gate.head, reads)
        said = copy_in(self.graph_module, f"{target}.head", head, [reads], before=reads.next)
        for i, estimator in enumerate(gate.estimators):
            if estimator.logits_per_gate == 2:
                with self.graph.inserting_after(_last(self.graph, said)):
                    said[i] = self._noted(
                        self.graph.call_function(on_minus_off, (said[i],)), said[i], gate.sites[i].gates
                    )
        with self.graph.inserting_after(_last(self.graph, said)):
            decisions = self.graph.call_module(target, tuple(said))
        self._read_between(reads, decisions)
        return decisions

    def _read(self, head: Head, reads: fx.Node) -> fx.GraphModule:
        """The graph of a head; of heads of one form that read values of one shape it is the same."""
        example, form = example_of(reads), head.form()
        if form is None:
            return read_network(head, example, in_both_modes=False)
        known = (form, example.shape, example.dtype)
        if known not in self._heads:
            self._heads[known] = read_network(head, example, in_both_modes=False)
        return self._heads[known]

    def _channels_first(self, reads: fx.Node) -> fx.Node:
        """A value as heads expect it, [N, C, H, W] or [N, C]."""
        layout = layout_of(reads)
        if layout in (PLANE, VECTOR):
            return reads
        with self.graph.inserting_after(reads):
            order = (0, *layout.channels, *layout.pixels)
            turned = self.graph.call_method("permute", (reads, order))
        turned.meta["values"] = tuple(value.permute(order) for value in reads.meta["values"])
        read_node(self.graph_module, turned)
        return turned

    def _noted(self, node: fx.Node, like: fx.Node, *sides: int) -> fx.Node:
        note_shape(node, like, *sides)
        node.meta["is_wrapped"] = True  # so that unpickling, which traces the code again, does not look into it
        return node

    def _read_between(self, first: fx.Node, last: fx.Node) -> None:
        node = first.next
        while node is not last.next:
            read_node(self.graph_module, node)
            node = node.next

    def _classify(self, placement: Placement, reads: fx.Node, is_open: fx.Node) -> None:
        assert placement.classifier
        name = f"{EXITS}.{self.names.key(placement.name.removesuffix('.exit'))}"
        self.graph_module.add_submodule(name, placement.classifier)
        behind = is_open.next.next  # the factor stands between
        (said,) = copy_in(self.graph_module, name, placement.classifier, [reads], before=behind)
        self._read_between(is_open, said)
        self.exits.append((said, is_open))

    def _mask(self, site: GateSite, place: Masked, factor: fx.Node, after: fx.Node, reads: fx.Node) -> None:
        # A skipped branch has no channels, so the mask of the branch comes after the masks of its channels.
        behind = site.kind == "layer" or place.users is not None
        value = self.masked.get(place.value, place.value) if behind else place.value
        with self.graph.inserting_after(after if value is reads else value):
            if site.kind == "channel":
                (dim,) = layout_of(place.value).channels
                mask = self.graph.call_function(mask_channels, (value, factor) if dim == 1 else (value, factor, dim))
            else:
                mask = self.graph.call_function(mask_layer, (value, factor))
        mask.meta.update(values=value.meta["values"], is_wrapped=True)
        read_node(self.graph_module, mask)
        value.replace_all_uses_with(
            mask, delete_user_cb=lambda user: user is not mask and (place.users is None or user in place.users)
        )
        if place.users is None:
            self.masked[place.value] = mask


class _Names:
    """Names of gates as attributes, which must not contain a dot; two gates never share one."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def key(self, name: str) -> str:
        """The attribute for a name."""
        key = name.replace(".", "_")
        while self._taken.setdefault(key, name) != name:
            key += "_"
        return key


def _last(graph: fx.Graph, nodes: Sequence[fx.Node]) -> fx.Node:
    order = {node: i for i, node in enumerate(graph.nodes)}
    return max(nodes, key=order.__getitem__)


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


def share_pools(graph_module: fx.GraphModule) -> None:
    """Let all heads that average the same value read one average."""
    first: dict[Any, fx.Node] = {}
    for node in list(graph_module.graph.nodes):
        call = call_of(node)
        if call is None or call.kind != "global_pool" or not call.attributes["counted"]:
            continue
        before = first.setdefault((call.inputs[0], call.attributes["function"]), node)
        if before is not node:
            node.replace_all_uses_with(before)
            graph_module.graph.erase_node(node)
    read_again(graph_module)


def _closed_with_layers(
    graph_module: fx.GraphModule, records: dict[str, tuple[fx.Node, fx.Node]]
) -> dict[str, tuple[fx.Node, fx.Node]]:
    """Records of gates inside a layer that another gate can skip: they are closed then, as they are not evaluated."""
    found = {}
    live = liveness(graph_module)
    for name, (logits, is_open) in records.items():
        for layer in sorted(live.sites_when.get(name, ())):
            if _gate_of(records[layer][0]) is not _gate_of(logits):  # a joint gate does it itself
                with graph_module.graph.inserting_before(output_of(graph_module.graph)):
                    is_open = graph_module.graph.call_function(closed_with, (is_open, records[layer][1]))
                is_open.meta["is_wrapped"] = True  # see _noted
        found[name] = (logits, is_open)
    return found


def _gate_of(unpacked: fx.Node) -> fx.Node:
    """The gate of whose decisions a node unpacks a part."""
    return unpacked.all_input_nodes[0].all_input_nodes[0]


def _return_records(graph_module: fx.GraphModule, records: dict[str, tuple[fx.Node, fx.Node]]) -> None:
    output = output_of(graph_module.graph)
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    in_order = dict(sorted(records.items(), key=lambda item: order[item[1][0]]))
    output.args = ((output.args[0], in_order),)
    output.meta["gated"] = True


def _return_exits(graph_module: fx.GraphModule, exits: Sequence[tuple[fx.Node, fx.Node]]) -> None:
    """Make the output that of the first closed exit, or the network's own."""
    output = output_of(graph_module.graph)
    result, records = output.args[0]  # type: ignore[misc]
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    for early, is_open in sorted(exits, key=lambda found: order[found[0]], reverse=True):
        with graph_module.graph.inserting_before(output):
            result = graph_module.graph.call_function(leave, (early, is_open, result))
        result.meta.update(values=early.meta["values"], is_wrapped=True)  # see _noted
        read_node(graph_module, result)
    output.args = ((result, records),)
