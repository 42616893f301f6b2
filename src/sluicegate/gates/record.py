"""Sites of gates, and records of what gates decided.

Legend: N images, G gates of a site, C channels.
"""

from typing import Literal, NamedTuple

from torch import Tensor

SiteKind = Literal["channel", "layer", "exit"]


class GateSite(NamedTuple):
    """A place in the network where gates stand.

    Attributes:
        name: dotted module name of what is gated (`layer1.0.conv1`: its channels; `layer1.0`: the whole branch;
            `layer1.exit`: whether to go on after that stage).
        kind: `channel`, `layer` or `exit`; the gate of an exit is open if an image goes on.
        gates: G, number of gates.
        channels: C, number of channels that they switch, a multiple of G; each gate switches C / G adjacent channels.
        reads: graph node that the head reads.
        masks: graph node that the gates close; for shared gates the first such node, for an exit the network's output.
        keep_open: the first `keep_open` gates are always open.
    """

    name: str
    kind: SiteKind
    gates: int
    channels: int
    reads: str
    masks: str
    keep_open: int = 0

    @property
    def granularity(self) -> int:
        """Channels per gate."""
        return self.channels // self.gates


class GateRecord(NamedTuple):
    """What the gates of one site decided for one batch.

    Attributes:
        site: where.
        logits: [N, G], before any noise.
        open: [N, G], 0 or 1; soft samples in training lie in between. Its gradient is the estimator's. A channel gate
            inside a skipped layer counts as closed.
    """

    site: GateSite
    logits: Tensor
    open: Tensor


class GateRecords(dict[str, GateRecord]):
    """The records of one forward pass: site name -> record, in the order of execution."""

    def of_kind(self, kind: SiteKind) -> "GateRecords":
        """Only the sites of one kind."""
        return GateRecords({name: record for name, record in self.items() if record.site.kind == kind})

    def reached(self) -> "GateRecords":
        """The records with every gate closed after an image's exit, as in the engine.

        The original records say what those gates would have decided. An image takes an exit if its gate is closed and
        that of the exit before it is open.
        """
        found, staying = GateRecords(), None
        for name, record in self.items():
            is_open = record.open if staying is None else record.open * staying
            found[name] = record._replace(open=is_open)
            if record.site.kind == "exit":
                staying = is_open  # [N, 1]
        return found
