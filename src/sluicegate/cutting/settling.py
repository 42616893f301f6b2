"""Which gates do the same for every image.

Legend: N images, G gates of a site.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sluicegate.convert import GatedModel
from sluicegate.costs import ALWAYS_CLOSED, ALWAYS_OPEN, BY_IMAGE, Settled, liveness
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, GateRecords, Threshold
from sluicegate.graph import kept_modes
from sluicegate.ops import call_of, kind_of

Batches = Tensor | Iterable[Tensor]
"""[N, C, H, W] as the network takes them, or batches of these."""

_BATCH = 256
_ROUNDING = 1e-9  # 1 - 0.1 may come out below 0.9; no share of images is as small


def settled_gates(gated: GatedModel, images: Batches | None = None, share: float = 1.0) -> dict[str, np.ndarray]:
    """What each gate does for every image.

    Args:
        gated: its gates decide by its strategy.
        images: images, as the network takes them. None: only gates that ignore the image (`LearnedLogits`) count as
            settled.
        share: a gate has settled if it does the same for at least this share of the images, in [0.5, 1].

    Returns:
        Site -> [G]: `ALWAYS_CLOSED`, `ALWAYS_OPEN` or `BY_IMAGE`. A gate in a closed layer counts as closed. After an
        exit, only images that go on count.

    Raises:
        InputError: `share` is out of range, there are no images, or gates decide by chance or by comparison (`TopK`).

    Example:
        >>> found = settled_gates(gated, images, share=0.99)
        >>> (found["layer1.0.conv1"] == ALWAYS_CLOSED).sum()
    """
    _refuse(gated)
    check_share(share)
    if images is None:
        return _inside_closed_layers(gated, _without_images(gated))
    return open_shares(gated, images).settled(share)


class OpenShares(NamedTuple):
    """For which shares of the images gates are open, site -> [G]: where they count, and by themselves."""

    counted: dict[str, np.ndarray]
    own: dict[str, np.ndarray]

    def settled(self, share: float) -> dict[str, np.ndarray]:
        """See `settled_gates`."""
        check_share(share)
        return {name: settle(rates, share, self.own[name]) for name, rates in self.counted.items()}


def open_shares(gated: GatedModel, images: Batches) -> OpenShares:
    """Look at images once; `settled_gates` says what the arguments are."""
    _refuse(gated)
    opened, own, count = _counted(gated, images)
    return OpenShares({name: opened[name] / count for name in opened}, {name: own[name] / count for name in own})


def check_share(share: float) -> None:
    """Refuse a share outside of [0.5, 1]."""
    if not 0.5 <= share <= 1:
        raise InputError(
            f"share: {share} must lie in [0.5, 1]; at 0.5 every gate is rounded to what it does more often"
        )


def batches_of(images: Batches) -> Iterator[Tensor]:
    """Images in batches.

    Raises:
        InputError: there are none.
    """
    empty = True
    for batch in images.split(_BATCH) if isinstance(images, Tensor) else images:
        if len(batch):
            empty = False
            yield batch
    if empty:
        raise InputError("images: none; at least one is needed to see what gates do")


def settle(open_rate: np.ndarray, share: float, own_rate: np.ndarray | None = None) -> np.ndarray:
    """What gates do that are open for these shares of the images, [G] -> [G].

    Args:
        open_rate: how often each counts as open.
        share: see `settled_gates`.
        own_rate: how often a gate itself is open, whatever the layer around it does; the same if None.

    Example:
        >>> settle(np.array([0.0, 0.3, 0.995]), share=0.99)
        array([ 0, -1,  1])
    """
    enough = share - _ROUNDING
    own_rate = open_rate if own_rate is None else own_rate
    return np.where(1 - open_rate >= enough, ALWAYS_CLOSED, np.where(own_rate >= enough, ALWAYS_OPEN, BY_IMAGE))


def _counted(gated: GatedModel, images: Batches) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """For how many images each gate is open where it counts, and for how many by itself."""
    counts, own, seen = _zeros(gated), _zeros(gated), 0
    with kept_modes(gated), torch.no_grad():
        gated.eval()
        for batch in batches_of(images):
            records = gated(batch, return_gates=True).gates
            seen += len(batch)
            for name, record in records.reached().items():
                counts[name] += record.open.sum(0).double().cpu().numpy()
                own[name] += _decided(gated, records, name).sum(0).double().cpu().numpy()
    return counts, own, seen


def _zeros(gated: GatedModel) -> dict[str, np.ndarray]:
    return {name: np.zeros(site.gates) for name, site in gated.sites.items()}


def _decided(gated: GatedModel, records: GateRecords, site: str) -> Tensor:
    """[N, G]: what the gates of a site decide by their own logits."""
    return gated.strategy(gated.estimator_of(site), records[site].logits, False)


def _without_images(gated: GatedModel) -> dict[str, np.ndarray]:
    """What gates decide that look at nothing."""
    like = next(gated.parameters())
    blank = [torch.zeros((1, *sides[1:]), dtype=like.dtype, device=like.device) for sides in gated.input_shapes]
    with kept_modes(gated), torch.no_grad():
        records = gated.eval()(*blank, return_gates=True).gates
    blind, found = _blind(gated), {}
    for name, site in gated.sites.items():
        decided = _decided(gated, records, name)[0].cpu().numpy()
        found[name] = decided.astype(int) if name in blind else np.full(site.gates, BY_IMAGE)
    return found


def _blind(gated: GatedModel) -> set[str]:
    """The sites whose logits are learned numbers."""
    found = set()
    for node in gated.network.graph.nodes:
        call = call_of(node)
        if call is None or call.kind != "gate":
            continue
        gate = next(gate for gate in gated.gates.values() if gate is gated.network.get_submodule(str(node.target)))
        for site, said in zip(gate.sites, call.inputs, strict=True):
            source = said.all_input_nodes[0] if kind_of(said) == "difference" else said
            found |= {site.name} if kind_of(source) == "constant" else set()
    return found


def _inside_closed_layers(gated: GatedModel, settled: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gates in a layer that is closed for good are closed for good."""
    layers = {name for name, site in gated.sites.items() if site.kind == "layer"}
    closed = {name for name in layers if settled[name][0] == ALWAYS_CLOSED}
    around: Settled = settled
    when = liveness(gated.network).sites_when
    return {
        name: np.full_like(does, ALWAYS_CLOSED) if when.get(name, frozenset()) & closed else does
        for name, does in around.items()
    }


def _refuse(gated: GatedModel) -> None:
    if not isinstance(gated.strategy, (Threshold, AlwaysOn)):
        name = type(gated.strategy).__name__
        raise InputError(f"gated: its gates decide by chance ({name}); set `gated.strategy = Threshold()` first")
    chosen = (name for name in gated.sites if not gated.estimator_of(name).per_gate)
    if name := next(chosen, None):
        raise InputError(f"gated: gates of {name!r} are chosen by comparison with each other, so none of them settles")
