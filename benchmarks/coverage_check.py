"""One network of `coverage.py`: gated, counted, lowered, run in the engine beside torch.

Legend: N images, C channels, G gates of a site.
"""

import time
from dataclasses import dataclass

import torch
from coverage_nets import build, side_of
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.convert import ChannelGating, GatedModel, LayerGating, gate_model
from sluicegate.costs.terms import NETWORK
from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.lowering import lower
from sluicegate.lowering.verify import verify_lowered

IMAGES = 2
OPEN_RATE = 0.6
TOLERANCE = 1e-4
"""Of the largest output: float32 sums in another order."""


@dataclass
class Row:
    """What came of one network.

    Attributes:
        name, family, side: which network, and the side of its images in pixels.
        reached: the last stage that went well: "", "built", "gated", "lowered" or "verified".
        error: why it went no further.
        sites, gates, layers: sites of channel gates, gates in them, layer gates.
        macs: of the network with all gates open, heads not counted.
        closable: the share of them that is gone when all channel gates close that may.
        seconds: for all of it.
    """

    name: str
    family: str = ""
    side: int = 0
    reached: str = ""
    error: str = ""
    sites: int = 0
    gates: int = 0
    layers: int = 0
    macs: int = 0
    closable: float = 0.0
    seconds: float = 0.0


def check(name: str, family: str = "", largest_side: int | None = None) -> Row:
    """Take one network through all stages; what it raises is noted in the row."""
    row, begun = Row(name, family), time.perf_counter()
    try:
        torch.manual_seed(0)
        net = build(name)
        row.side = min(side_of(name, net), largest_side or 10_000)
        _check(net, row)
    except Exception as error:  # whatever a network, or a fault of ours, raises
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        row.error = kind + (str(error).splitlines() or [""])[0]
    row.seconds = round(time.perf_counter() - begun, 1)
    return row


def _check(net: nn.Module, row: Row) -> None:
    images = torch.randn(IMAGES, 3, row.side, row.side)
    settle(net, images)
    row.reached = "built"
    gated = gated_everywhere(net, images)
    row.reached = "gated"
    channels = [site for site in gated.sites.values() if site.kind == "channel"]
    row.sites, row.gates = len(channels), sum(site.gates for site in channels)
    row.layers = len(gated.sites) - len(channels)
    row.macs, row.closable = closable(gated)
    lowered = lower(gated)
    row.reached = "lowered"
    verify_lowered(gated, lowered, images, TOLERANCE)
    row.reached = "verified"


def settle(net: nn.Module, images: Tensor) -> None:
    """Make numbers of a new network that show a fault: no weight of a norm is zero, norms fit the images."""
    for name, parameter in net.named_parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            spread = (0.0, 0.1) if name.endswith(("bias", "beta")) else (1.0, 0.2)
            nn.init.normal_(parameter, *spread)
    norms = [m for m in net.eval().modules() if isinstance(m, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        net(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum


def gated_everywhere(net: nn.Module, images: Tensor) -> GatedModel:
    """A network with gates on all channels and on all layers, whose decisions differ from image to image."""
    channels = ChannelGating("all", initial_open_rate=OPEN_RATE, keep_open=1)
    layers = LayerGating(initial_open_rate=OPEN_RATE)
    try:
        gated = gate_model(net, [channels, layers], images[:1])
    except InputError as error:
        if "no residual branch" not in str(error):
            raise
        gated = gate_model(net, channels, images[:1])
    for gate in gated.gates.values():
        for output in gate.head.outputs:  # type: ignore[union-attr]
            nn.init.normal_(output.weight, std=1.0)
    return gated.eval()


def closable(gated: GatedModel) -> tuple[int, float]:
    """MACs of the network, and the share of them that is gone when all channel gates close that may."""
    network = {term.module for term in gated.macs.terms if term.kind in NETWORK}

    def macs(is_open: float) -> int:
        by_module = gated.macs.macs_by_module(_records(gated, is_open))
        return sum(int(count) for module, count in by_module.items() if module in network)

    whole = macs(1.0)
    return whole, round(1 - macs(0.0) / whole, 4)


def _records(gated: GatedModel, is_open: float) -> GateRecords:
    found = {}
    for name, site in gated.sites.items():
        opens = torch.full((1, site.gates), is_open if site.kind == "channel" else 1.0)
        opens[:, : site.keep_open] = 1.0
        found[name] = GateRecord(site, opens, opens)
    return GateRecords(found)
