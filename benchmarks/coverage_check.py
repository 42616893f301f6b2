"""One network of `coverage.py`: gated, counted, lowered, run in the engine beside torch.

Legend: N images, C channels, G gates of a site.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from coverage_nets import build, side_of
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sluicegate.convert import ChannelGating, GatedModel, Gating, LayerGating, closable, gate_model
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, SiteKind
from sluicegate.lowering import lower
from sluicegate.lowering.verify import verify_lowered

IMAGES = 2
OPEN_RATE = 0.6
TOLERANCE = 1e-4
"""Of the largest output: float32 sums in another order."""
_NO_PLACE = ("no residual branch", "finds no place")
ROUNDINGS = 4.0
"""Where a network enlarges rounding, so many times what torch itself is off in float32."""
_KINDS: tuple[tuple[SiteKind, ...], ...] = (("channel",), ("channel", "layer"))
"""What closes, for the two shares that a row states."""


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
        closable_with_layers: the same when all layer gates close, too.
        rounding: how far torch in float32 is from torch in float64, as a share of the largest output; only asked where
            the engine is further than TOLERANCE from torch.
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
    closable_with_layers: float = 0.0
    rounding: float = 0.0
    seconds: float = 0.0


def check(name: str, family: str = "", largest_side: int | None = None) -> Row:
    """Take one network through all stages; what it raises is noted in the row."""
    row, begun = Row(name, family), time.perf_counter()
    try:
        torch.manual_seed(0)
        net = build(name)
        row.side = side_of(name, net, largest_side)
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
    row.macs = gated.macs.dense
    row.closable, row.closable_with_layers = (round(closable(gated, kinds), 4) for kinds in _KINDS)
    lowered = lower(gated)
    row.reached = "lowered"
    try:
        verify_lowered(gated, lowered, images, TOLERANCE)
    except InputError:
        row.rounding = rounding(gated, images)
        if ROUNDINGS * row.rounding <= TOLERANCE:
            raise
        verify_lowered(gated, lowered, images, ROUNDINGS * row.rounding)
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
        if norm.running_var is not None and norm.running_mean is not None:
            # Two pooled vectors are almost equal; a norm that makes much of that makes much of rounding, too.
            norm.running_var.clamp_(min=0.1 * float((norm.running_var + norm.running_mean**2).mean()))


def gated_everywhere(net: nn.Module, images: Tensor) -> GatedModel:
    """A network with gates on all channels and on all layers, whose decisions differ from image to image."""
    channels = ChannelGating("all", initial_open_rate=OPEN_RATE, keep_open=1)
    layers = LayerGating(initial_open_rate=OPEN_RATE)
    gated = _first_that_fits(net, images[:1], ([channels, layers], [channels], [layers]))
    for gate in gated.gates.values():
        for output in gate.head.outputs:  # type: ignore[union-attr]
            assert isinstance(output, nn.Linear)
            nn.init.normal_(output.weight, std=1.0)
    return gated.eval()


def _first_that_fits(net: nn.Module, images: Tensor, gatings: Sequence[list[Gating]]) -> GatedModel:
    """The network with the first of these gatings for which it has places."""
    why_not: list[InputError] = []
    for gating in gatings:
        try:
            return gate_model(net, gating, images)
        except InputError as error:
            if not any(words in str(error) for words in _NO_PLACE):
                raise
            why_not.append(error)
    raise why_not[0]


def rounding(gated: GatedModel, images: Tensor) -> float:
    """How far torch in float32 is from torch in float64 with all gates open, as a share of the largest output."""
    strategy = gated.strategy
    gated.strategy = AlwaysOn()
    with torch.no_grad():
        single, double = gated(images).double(), gated.double()(images.double())
    gated.float().strategy = strategy
    return float(f"{(single - double).abs().max() / double.abs().max():.1e}")
