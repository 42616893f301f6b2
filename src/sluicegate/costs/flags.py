"""Numbers for the decisions of gates, by which channel maps name them.

Legend: C channels, G gates of a site, F flags of all sites. A flag is one gate's decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import fx

from sluicegate.ops import call_of, channel_count
from sluicegate.ops.frame.links import OPEN, Flags

BY_IMAGE, ALWAYS_CLOSED, ALWAYS_OPEN = -1, 0, 1
Settled = Mapping[str, np.ndarray]
"""Site -> [G], what each of its gates does: BY_IMAGE, ALWAYS_CLOSED or ALWAYS_OPEN."""


@dataclass(frozen=True)
class FlagNumbers:
    """The numbers of all channel sites' flags: those of one site follow each other."""

    first: dict[str, int]
    gates: dict[str, int]

    @property
    def closed(self) -> int:
        """The flag of all gates that are closed for good."""
        return sum(self.gates.values())

    def of_mask(self, site: str, mask: fx.Node) -> Flags:
        """[C]: the flag that closes each channel of a value that the site masks; OPEN for one that no gate does."""
        call = call_of(mask)
        assert call
        gates = self.gates[site]
        of = call.attributes["gates"] or np.repeat(np.arange(gates), channel_count(mask) // gates)
        return np.where(np.array(of) >= 0, np.array(of) + self.first[site], OPEN)

    def once_settled(self, flags: Flags, settled: Settled) -> Flags:
        """Flags with those of settled gates replaced: by `closed`, or by OPEN."""
        does = np.concatenate([settled[site] for site in self.first] + [[BY_IMAGE]]).astype(int)  # [F + 1]
        known = np.where(flags >= 0, does[flags], BY_IMAGE)
        return np.where(known == ALWAYS_CLOSED, self.closed, np.where(known == ALWAYS_OPEN, OPEN, flags))

    def sites_of(self, flags: Flags) -> list[str]:
        """The sites that have a flag among these, in order."""
        names, firsts = list(self.first), np.array([*self.first.values()], int)
        return [names[i] for i in np.unique(np.searchsorted(firsts, flags[flags >= 0], side="right") - 1)]

    def pairs_of(self, flags: Flags) -> list[tuple[str, int] | None]:
        """For each flag its site, and the gate's place in it; None for OPEN."""
        names, firsts = list(self.first), np.array([*self.first.values()])
        places = np.searchsorted(firsts, flags, side="right") - 1
        return [
            (names[p], f - int(firsts[p])) if f >= 0 else None
            for p, f in zip(places.tolist(), flags.tolist(), strict=True)
        ]
