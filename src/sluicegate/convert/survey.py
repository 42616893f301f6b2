"""Which layers of a network can be gated, and which share of its MACs gates reach.

Legend: N images, C channels, G gates.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from sluicegate.convert.gating import ChannelGating, Gating, LayerGating
from sluicegate.convert.insert import copied, gate_model
from sluicegate.convert.model import GatedModel
from sluicegate.costs import MacModel
from sluicegate.costs.terms import NETWORK
from sluicegate.gates import GateRecord, GateRecords, LearnedLogits, SiteKind
from sluicegate.graph import copies, label
from sluicegate.ops import call_of, channel_count, read_network, room_of
from sluicegate.sites import Places


@dataclass(frozen=True)
class LayerSurvey:
    """One convolution or linear layer.

    Attributes:
        layer: its name.
        channels: C of its output.
        macs: for one image.
        place: where its channels can be gated: "mid" or "out" (the end) of a branch, "all" outside of branches, "" for
            nowhere.
        branch: the residual branch that it is part of, "" for none.
        why_not: why its channels cannot be gated; "" if they can.
    """

    layer: str
    channels: int
    macs: int
    place: str
    branch: str
    why_not: str


@dataclass(frozen=True)
class Survey:
    """A network's layers, and the share of its MACs that gates reach.

    Attributes:
        layers: in order of execution.
        branches: names of the residual branches; a layer gate can close each of them.
        macs: of the network for one image.
        by_channels: share of the MACs that is saved if all channel gates close (at="all"; at each place outside of a
            branch one gate stays open).
        by_layers: share that is saved if all layer gates close.
    """

    layers: tuple[LayerSurvey, ...]
    branches: tuple[str, ...]
    macs: int
    by_channels: float
    by_layers: float


def survey(
    net: nn.Module, example_inputs: Tensor | tuple[Tensor, ...], leaf_modules: Collection[type[nn.Module]] = ()
) -> Survey:
    """List which layers of a network can be gated and which cannot, and why.

    Args:
        net, example_inputs, leaf_modules: as for `gate_model`; the network is copied, not changed.

    Raises:
        InputError: the network cannot be traced.

    Example:
        >>> found = sg.survey(torchvision.models.resnet50(), torch.zeros(1, 3, 224, 224))
        >>> found.by_channels
        >>> [row.layer for row in found.layers if row.why_not]
    """
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    graph_module = read_network(copied(net), inputs, leaf_modules)
    costs, places = MacModel(graph_module), Places(graph_module)
    layers, branches = _layers(places), tuple(branch.name for branch in places.branches)
    channels = any(row.place in ("mid", "all") for row in layers)

    def share(gating: Gating) -> float:
        return closable(gate_model(net, gating, inputs, leaf_modules))

    return Survey(
        layers=layers,
        branches=branches,
        macs=costs.dense,
        by_channels=share(ChannelGating("all", head=LearnedLogits, keep_open=1)) if channels else 0.0,
        by_layers=share(LayerGating(head=LearnedLogits)) if branches else 0.0,
    )


def closable(gated: GatedModel, kinds: Collection[SiteKind] = ("channel", "layer")) -> float:
    """The share of the plain network's MACs that is saved if all gates of these kinds close that can."""
    costs, left = gated.macs, gated.macs.macs_by_module(_closed(gated, kinds))
    network = [name for name, part in costs.by_module().items() if part.kind in NETWORK]
    return 1 - sum(int(left[name]) for name in network) / costs.dense


def _layers(places: Places) -> tuple[LayerSurvey, ...]:
    rows = []
    for layer, place in places.all.items():
        where = "" if place.why_not else "out" if place.ends else "mid" if place.branch else "all"
        branch = place.ends or place.branch
        rows.append(
            LayerSurvey(
                layer=label(layer),
                channels=channel_count(layer),
                macs=_macs(layer),
                place=where,
                branch=branch.name if branch else "",
                why_not=place.why_not or "",
            )
        )
    return tuple(rows)


def _macs(layer: fx.Node) -> int:
    """Of this call alone: a network may call a layer twice."""
    call, room = call_of(layer), room_of(layer)
    assert call and room
    work = room.work(layer, call)
    return work.unit * work.inputs * work.outputs // work.groups * (copies(layer) or 1) if work else 0


def _closed(gated: GatedModel, kinds: Collection[SiteKind]) -> GateRecords:
    """One image's records, with all gates of some kinds closed that may, and all others open."""
    found = {}
    for name, site in gated.sites.items():
        opens = torch.full((1, site.gates), 0.0 if site.kind in kinds else 1.0)
        opens[:, : site.keep_open] = 1.0
        found[name] = GateRecord(site, opens, opens)
    return GateRecords(found)
