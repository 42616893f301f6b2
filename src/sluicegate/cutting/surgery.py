"""Removes settled gates from a gated graph, with everything that is not needed any more."""

import copy
import operator
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.convert import GatedModel
from sluicegate.costs import ALWAYS_CLOSED, BY_IMAGE, Settled
from sluicegate.cutting.rules import RULES
from sluicegate.cutting.walk import Made, Walk, dim_of
from sluicegate.errors import InputError
from sluicegate.gates import Gate, GateSite, closed_with, mask_channels
from sluicegate.graph import is_constant, module_of, output_of, shape
from sluicegate.ops import Call, call_of, channel_count, kind_of, layout_of, write_elsewhere


def cut_network(gated: GatedModel, settled: Settled, outputs: Sequence[int] | None = None) -> fx.GraphModule:
    """The graph of a copy of a gated network without the gates that have settled.

    Args:
        gated: it is not changed.
        settled: what each gate does, of all sites.
        outputs: numbers of the classes to keep of a result [N, K]; all if None.

    Returns:
        The graph, in evaluation. It returns what the plain network does, and beside that records as a gated graph does
        if any gate is left. Its nodes have not been read.

    Raises:
        InputError: `outputs` names a class that there is not, or the network returns no [N, K].
    """
    network = copy.deepcopy(gated).network.eval()
    _take_exits(network, settled)
    result = cast(Any, output_of(network.graph).args[0])[0]
    wanted = None if outputs is None else (result, _wanted(result, outputs))
    surgery = _Surgery(network, settled, wanted)
    for node in network.graph.nodes:
        surgery.visit(node)
    return surgery.finish()


def _take_exits(network: fx.GraphModule, settled: Settled) -> None:
    """Let the result be the exit's where all leave, and what comes behind it where none does."""
    for node in list(network.graph.nodes):
        if kind_of(node) != "exit":
            continue
        early, is_open, later = cast("tuple[fx.Node, ...]", node.args)
        gate = module_of(network, is_open.all_input_nodes[0].all_input_nodes[0])
        assert isinstance(gate, Gate)
        does = settled[gate.sites[0].name][0]
        if does != BY_IMAGE:
            node.replace_all_uses_with(early if does == ALWAYS_CLOSED else later)
            network.graph.erase_node(node)
    _forget_records(network, settled)
    network.graph.eliminate_dead_code()


def _forget_records(network: fx.GraphModule, settled: Settled) -> None:
    output = output_of(network.graph)
    result, records = cast(Any, output.args[0])
    left = {name: pair for name, pair in records.items() if (settled[name] == BY_IMAGE).any()}
    output.args = ((result, left),)


def _wanted(result: Any, outputs: Sequence[int]) -> np.ndarray:
    """[K] bool."""
    if not isinstance(result, fx.Node) or len(shape(result)) != 2:
        raise InputError("outputs: the network returns no [N, K], of which some could be kept")
    count = shape(result)[1]
    if bad := [number for number in outputs if not 0 <= number < count]:
        raise InputError(f"outputs: {bad[0]} is not in 0..{count - 1}")
    if not len(outputs) or list(outputs) != sorted(set(outputs)):
        raise InputError(f"outputs: {list(outputs)} must name one class at least, each once, in rising order")
    return np.isin(np.arange(count), outputs)


class _Surgery(Walk):
    """The walk, and what it makes of gates and masks; `sites_left` are the numbers of the sites that an old gate still
    decides about."""

    def __init__(self, network: fx.GraphModule, settled: Settled, wanted: tuple[fx.Node, np.ndarray] | None) -> None:
        super().__init__(network, settled, wanted)
        self.sites_left: dict[fx.Node, list[int]] = {}

    def visit(self, node: fx.Node) -> None:
        """Rebuild one node, if there is anything left of it."""
        if node.op == "output":
            self._output(node)
        elif kind_of(node) == "gate":
            self._gate(node)
        elif node.target is operator.getitem and node.args[0] in self.sites_left:
            self._decision(node)
        elif node.target is closed_with:
            self._closed_with(node)
        elif call_of(node) is not None and shape(node):
            self._rebuild(node)
        elif all(x in self.made for x in node.all_input_nodes):  # others are parts of decisions that have gone
            self._keep(node)

    def finish(self) -> fx.GraphModule:
        """The network with the new graph."""
        network = self.network
        for path, module in self.modules.items():
            network.set_submodule(path, module)
        network.graph = self.graph
        self.graph.eliminate_dead_code()
        _forget_unused(network, self.buffers)
        for node in self.graph.nodes:
            if _is_in_place(network, node) and not _alone(network, node.all_input_nodes[0]):
                write_elsewhere(network, node)
        self.graph.lint()
        network.recompile()
        return network

    def _keep(self, node: fx.Node) -> None:
        """A node of which nothing is known, as it is."""
        is_input = node.op == "placeholder"
        new = self.emit(node, "placeholder", node.target, node.args) if is_input else self.copy(node, {})
        count = channel_count(node) if shape(node) and not is_constant(node) else 0
        self.made[node] = Made(new, np.full(count, True))

    def _rebuild(self, node: fx.Node) -> None:
        call, kept = call_of(node), self.kept(node)
        assert call
        constant = self.constant_of(node, call)
        if constant is not None or (not kept.any() and len(layout_of(node).channels) == 1):
            zeros = torch.zeros(len(kept), dtype=node.meta["values"][0].dtype)
            self.made[node] = Made(None, np.full(len(kept), False), zeros if constant is None else constant)
        elif node in self.live.masks:
            self._mask(node, self.live.masks[node], kept)
        else:
            self.made[node] = self._by_rule(node, call, kept) or Made(self.copy(node, {}), np.full(len(kept), True))

    def _by_rule(self, node: fx.Node, call: Call, kept: np.ndarray) -> Made | None:
        """What the rule of an op's kind makes; None if it stays whole."""
        one_side = all(len(layout_of(x).channels) == 1 for x in (node, *call.inputs[1:]))
        rule = RULES.get(call.kind)
        if rule is None or not one_side or self._is_whole(call, kept):
            return None
        missing = self.missing_of(node, call, kept)
        if missing is None:
            return rule(self, node, call, kept)
        there = kept & self.made[call.inputs[0]].have
        made = rule(self, node, call, there) if there.any() else Made(None, there)
        return made and made._replace(constant=missing)

    def _is_whole(self, call: Call, kept: np.ndarray) -> bool:
        """Whether an op has all of its channels on both sides."""
        return bool(kept.all()) and all(self.made[x].have.all() for x in call.inputs)

    def _mask(self, node: fx.Node, site: GateSite, kept: np.ndarray) -> None:
        """Nothing, where the gates have settled; else a mask of the channels that are left."""
        call = call_of(node)
        assert call
        if site.kind == "exit":
            self.made[node] = Made(self.copy(node, {}), np.full(len(kept), True))
            return
        x, by_image = call.inputs[0], self.settled[site.name] == BY_IMAGE
        constant, factor = self.made[x].constant, call.attributes["factor"]
        if constant is not None and not by_image.any():
            there = kept & self.made[x].have
            new = self.with_channels(x, there) if there.any() else None
            self.made[node] = Made(new, there, constant * torch.from_numpy(kept))
            return
        new = self.with_channels(x, kept)
        if by_image.any() and site.kind == "layer":
            new = self.copy(node, {x: new, factor: self._part(factor)})
        elif by_image.any():
            gates = self._gates_of(node, site, by_image)[kept]
            if (gates >= 0).any():
                sides = (dim_of(node), tuple(gates.tolist()))
                plain = (gates >= 0).all() and (np.diff(gates) >= 0).all() and len(set(np.bincount(gates))) == 1
                tail = sides if not plain else () if sides[0] == 1 else sides[:1]
                new = self.emit(node, "call_function", mask_channels, (new, self._part(factor), *tail))
        self.made[node] = Made(new, kept)

    def _gates_of(self, node: fx.Node, site: GateSite, by_image: np.ndarray) -> np.ndarray:
        """[C]: the new number of the gate that each channel has, -1 for none."""
        call = call_of(node)
        assert call
        old = np.array(call.attributes["gates"] or np.repeat(np.arange(site.gates), channel_count(node) // site.gates))
        number = np.where(by_image, np.cumsum(by_image) - 1, -1)
        return np.where(old >= 0, number[old], -1)

    # Gates.

    def _part(self, x: fx.Node) -> fx.Node:
        """What has become of a part of a decision."""
        new = self.made[x].node
        assert new is not None
        return new

    def _gate(self, node: fx.Node) -> None:
        """A gate for the sites that have not settled; it is told of no others."""
        gate, call = module_of(self.network, node), call_of(node)
        assert isinstance(gate, Gate) and call
        masks = [self.settled[site.name] == BY_IMAGE for site in gate.sites]
        left = self.sites_left[node] = [i for i, by_image in enumerate(masks) if by_image.any()]
        if left:
            said = tuple(self.with_channels(call.inputs[i], masks[i]) for i in left)
            sites = [_smaller(gate.sites[i], masks[i]) for i in left]
            target = self.place(node, b"left", lambda: _asked_of(gate, sites, left))
            self.made[node] = Made(self.emit(node, "call_module", target, said), np.zeros(0, bool))

    def _decision(self, node: fx.Node) -> None:
        """Of a gate's decisions that of one site."""
        gate, site = cast("tuple[fx.Node, int]", node.args)
        if site in self.sites_left[gate]:
            args = (self._part(gate), self.sites_left[gate].index(site))
            self.made[node] = Made(self.emit(node, "call_function", operator.getitem, args), np.zeros(0, bool))

    def _closed_with(self, node: fx.Node) -> None:
        """Closed where the layer is skipped, if it ever is."""
        is_open, layer_open = cast("tuple[fx.Node, fx.Node]", node.args)
        if is_open in self.made and layer_open in self.made:
            new = self.emit(node, "call_function", closed_with, (self._part(is_open), self._part(layer_open)))
            self.made[node] = Made(new, np.zeros(0, bool))
        elif is_open in self.made:
            self.made[node] = self.made[is_open]

    def _output(self, node: fx.Node) -> None:
        result, records = cast(Any, node.args[0])
        returned = fx.map_arg(
            result, lambda x: self.with_channels(x, self.kept(x)) if x in self.wanted else self.whole(x)
        )
        if records:
            returned = (returned, {name: tuple(map(self._part, pair)) for name, pair in records.items()})
        self.graph.output(returned).meta["gated"] = bool(records)


def _smaller(site: GateSite, by_image: np.ndarray) -> GateSite:
    """A site with the gates that have not settled."""
    gates = int(by_image.sum())
    return site._replace(
        gates=gates, channels=gates * site.granularity, keep_open=int(by_image[: site.keep_open].sum())
    )


def _asked_of(gate: Gate, sites: Sequence[GateSite], left: Sequence[int]) -> Gate:
    """A gate for some of its sites."""
    made = copy.copy(gate)
    made._modules = dict(gate._modules)
    made.sites = tuple(sites)
    made.estimators = nn.ModuleList(gate.estimators[i] for i in left)  # type: ignore[assignment]
    return made


def _forget_unused(network: fx.GraphModule, buffers: Sequence[str]) -> None:
    """Drop modules and tensors that no node names any more, those of heads among them."""
    named = {str(node.target) for node in network.graph.nodes if node.op in ("call_module", "get_attr")}
    for name in buffers:
        if name not in named:
            delattr(network, name)
    network.delete_all_unused_submodules()
    for path, module in list(network.named_modules()):
        if isinstance(module, Gate):
            _forget_unnamed(module.head, f"{path}.head", named)


def _forget_unnamed(module: nn.Module, path: str, named: set[str]) -> None:
    for name, child in list(module.named_children()):
        below = f"{path}.{name}"
        if below in named:
            continue
        if any(target.startswith(f"{below}.") for target in named):
            _forget_unnamed(child, below, named)
        else:
            del module._modules[name]


_NEW = (operator.add, operator.mul, torch.cat, torch.index_select, torch.index_add)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, _BatchNorm, nn.GroupNorm)


def _is_in_place(network: nn.Module, node: fx.Node) -> bool:
    return bool(node.kwargs.get("inplace") or getattr(module_of(network, node), "inplace", False))


def _alone(network: nn.Module, x: fx.Node) -> bool:
    """Whether a value has one reader, and memory of its own for certain."""
    return len(x.users) == 1 and (x.target in _NEW or isinstance(module_of(network, x), _LAYERS))
