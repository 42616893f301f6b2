"""A gate: a head, and for each site that it serves an estimator.

The nodes of the head come before the gate in the graph; the gate gets their outputs.

Legend: N images, C channels, H W pixels, G gates of a site, K logits per gate.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.gates.estimators import Estimator
from sluicegate.gates.heads import Head
from sluicegate.gates.record import GateSite
from sluicegate.gates.strategy import Strategy, Threshold


class Decision(NamedTuple):
    """What the gates of one site decided.

    Attributes:
        logits: [N, G], before any noise.
        open: [N, G], what is recorded and counted.
        factor: [N, G], what masks multiply by: `open`, unless the estimator scales open channels.
    """

    logits: Tensor
    open: Tensor
    factor: Tensor


class Gate(nn.Module):
    """Decides for all sites that share one head.

    A layer site comes first. If it is closed, the channel gates after it count as closed (DLCG, section 3.2: "we first
    look at the output of the layer gating"). This product passes no gradient to the layer's logit, so a loss on
    channels acts on channels only: in DLCG's Table 1 the layer rate stays at 0.99 for every channel weight.

    Args:
        head: makes the raw outputs, one per site.
        sites: what is gated, the layer site first.
        estimators: one for each site. If all sites have the same one, it draws once for all of them, e.g. the same half
            of the images is soft at every site.
        initial_open_rate: probability in (0, 1) with which a gate starts open.
    """

    def __init__(
        self,
        head: Head,
        sites: Sequence[GateSite],
        estimators: Sequence[Estimator],
        initial_open_rate: float,
    ) -> None:
        super().__init__()
        if not 0 < initial_open_rate < 1:
            raise InputError(f"initial_open_rate: {initial_open_rate} must lie between 0 and 1")
        self.head = head
        self.sites = tuple(sites)
        self.estimators: Sequence[Estimator] = cast(Sequence[Estimator], nn.ModuleList(estimators))
        self.strategy: Strategy = Threshold()
        head.start_at(initial_open_rate, [estimator.logits_per_gate for estimator in estimators])

    def forward(self, *said: Tensor) -> tuple[Decision, ...]:
        """The head's outputs for each site, [N, G], one logit a gate -> a decision for each site."""
        raw = [_in_float32(logits) for logits in said]
        kept = [_kept_open(logits, site.keep_open) for site, logits in zip(self.sites, raw, strict=True)]
        decisions = []
        layer_open = None
        of_site = zip(self.sites, self.estimators, raw, kept, self._open(kept), strict=True)
        for site, estimator, logits, recorded, is_open in of_site:
            if site.kind == "layer":
                layer_open = is_open.detach()
            elif layer_open is not None:
                is_open = is_open * layer_open
            decisions.append(Decision(recorded, is_open, estimator.factor(logits, is_open)))
        return tuple(decisions)

    def _open(self, all_logits: Sequence[Tensor]) -> Sequence[Tensor]:
        """[N, G] of each site, looked at on its own."""
        first, *others = self.estimators
        if others and first.per_gate and all(estimator is first for estimator in others):
            drawn = self.strategy(first, torch.cat(list(all_logits), 1), self.training)
            return drawn.split([logits.shape[1] for logits in all_logits], 1)
        pairs = zip(self.estimators, all_logits, strict=True)
        return [self.strategy(estimator, logits, self.training) for estimator, logits in pairs]


OPEN_LOGIT = 1e9
"""The logit of a gate that is kept open: no noise and no threshold closes it, and it is larger than any other."""


def _kept_open(logits: Tensor, count: int) -> Tensor:
    """[N, G] -> [N, G], the first ones open for certain."""
    if count == 0:
        return logits
    return torch.cat([torch.full_like(logits[:, :count], OPEN_LOGIT), logits[:, count:]], dim=1)


def on_minus_off(raw: Tensor) -> Tensor:
    """[N, G * 2] -> [N, G]: of two logits a gate, off and on, only the difference matters."""
    off, on = raw.unflatten(1, (-1, 2)).unbind(-1)
    return on - off


def _in_float32(logits: Tensor) -> Tensor:
    """Whatever the network's precision."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
