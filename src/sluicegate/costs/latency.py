"""Milliseconds, image by image, from a table that the engine measured.

    ms(image) = overhead + sum over ops of  reached (closed + runs (open[in, out] - closed))

reached is 1 if every exit before the op is open. runs is 1 if every layer gate around the op is open and, for an exit's
classifier, that exit is closed. in and out are shares of open channels, and `open` is bilinear on a grid of measured
shares. This is `LatencyTable.milliseconds`, made differentiable in the decisions for training: the gradient of a
channel is the cost of one more open channel in milliseconds, and that of an exit is the cost of going on. A decision
between 0 and 1 counts as an independent probability, so `reached` is the share of images that get as far as the op.

Legend: N images, G gates of a site, S sites, K ops, Q knots of a share.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

import torch
from torch import Tensor, nn

from sluicegate.costs.macs import MacModel
from sluicegate.errors import InputError
from sluicegate.gates import GateRecord, GateRecords, GateSite
from sluicegate_runtime import LatencyTable
from sluicegate_runtime.latency import SHARES


class Gated(Protocol):
    """What `LatencyModel` reads of a gated network, such as a `GatedModel`."""

    @property
    def sites(self) -> Mapping[str, GateSite]: ...
    @property
    def macs(self) -> MacModel: ...


class LatencyModel(nn.Module):
    """The milliseconds of a network as a function of its gates.

    Args:
        gated: the network.
        table: measured for a program of the same network with the same gates; weights may differ.

    Attributes:
        dense: milliseconds of the plain network.
        closed: the fewest milliseconds possible: every gate closed, at the cheapest exit. No lower target can be
            reached.

    Raises:
        InputError: the table is of another network.
    """

    grids: Tensor  # [K, Q, Q]
    skipped: Tensor  # [K]
    reads: Tensor  # [K, S + 2], how much the share of each site counts; all of it the column of ones where none does
    writes: Tensor
    layers: Tensor  # [depth, K], index of a site; S, a column of ones, where there are no more
    unless: Tensor  # [depth, K]; S + 1, a column of zeros, where there are no more
    exits: Tensor  # [depth, K]

    def __init__(self, gated: Gated, table: LatencyTable) -> None:
        super().__init__()
        _check(gated, table)
        self.names, self.ops = tuple(gated.sites), tuple(table.ops)
        self.dense, self.overhead = table.dense, table.overhead
        place = {name: index for index, name in enumerate(self.names)}
        ones, zeros, ops, knots = len(place), len(place) + 1, list(table.ops.values()), len(SHARES)
        grids = [torch.tensor(op.open).expand(knots, knots) for op in ops]
        for name, tensor in {
            "grids": torch.stack(grids),
            "skipped": torch.tensor([op.closed for op in ops]),
            "reads": torch.stack([_weights(op.reads, place) for op in ops]),
            "writes": torch.stack([_weights(op.writes, place) for op in ops]),
            "layers": _chains([[place[gate] for gate in op.layers] for op in ops], ones),
            "unless": _chains([[place[gate] for gate in op.unless] for op in ops], zeros),
            "exits": _chains([[place[gate] for gate in op.exits] for op in ops], ones),
        }.items():
            self.register_buffer(name, tensor, persistent=False)
        ways_out = [None, *(name for name, site in gated.sites.items() if site.kind == "exit")]
        self.closed = min(self.milliseconds(_records(gated, 0.0, leaves)).item() for leaves in ways_out)

    def by_module(self) -> dict[str, float]:
        """Milliseconds of every op with all gates open, in order of execution."""
        return dict(zip(self.ops, self.grids[:, -1, -1].tolist(), strict=True))

    def milliseconds(self, gates: GateRecords) -> Tensor:
        """The time of each image in the engine.

        Args:
            gates: the records of one forward pass.

        Returns:
            [N], differentiable where the decisions are.

        Raises:
            InputError: there is no record for a site.
        """
        missing = [name for name in self.names if name not in gates]
        if missing:
            raise InputError(f"gates: no record for site {missing[0]!r}, on which the milliseconds depend")
        rates = [gates[name].open.mean(1) for name in self.names]
        shares = torch.stack([*rates, torch.ones_like(rates[0]), torch.zeros_like(rates[0])], dim=1)  # [N, S + 2]
        reached = shares[:, self.exits].prod(1)  # [N, K]
        runs = shares[:, self.layers].prod(1) * (1 - shares[:, self.unless]).prod(1)
        ms = self._between(*(shares @ weights.T.to(shares.dtype) for weights in (self.reads, self.writes)))
        return self.overhead + (reached * (self.skipped + runs * (ms - self.skipped))).sum(1)

    def _between(self, reads: Tensor, writes: Tensor) -> Tensor:
        """[N, K], [N, K] -> [N, K], bilinear in both shares."""
        (i, part_in), (j, part_out) = _place(reads), _place(writes)
        ops = torch.arange(len(self.grids), device=i.device)
        low = torch.lerp(self.grids[ops, i, j].to(part_in), self.grids[ops, i + 1, j].to(part_in), part_in)
        high = torch.lerp(self.grids[ops, i, j + 1].to(part_in), self.grids[ops, i + 1, j + 1].to(part_in), part_in)
        return torch.lerp(low, high, part_out)


def _weights(gates: Mapping[str, float], place: Mapping[str, int]) -> Tensor:
    """[S + 2]: how much the share of each site counts."""
    row = torch.zeros(len(place) + 2)
    row[len(place)] = 0.0 if gates else 1.0
    for gate, weight in gates.items():
        row[place[gate]] = weight
    return row


def _chains(places: Sequence[Sequence[int]], fill: int) -> Tensor:
    """[depth, K], of K lists of places that are filled up to the longest."""
    return torch.tensor(list(zip_longest(*places, fillvalue=fill)), dtype=torch.long).reshape(-1, len(places))


def _place(share: Tensor) -> tuple[Tensor, Tensor]:
    """The knot below, and how far on to the next; at the last knot the slope is that of the last piece."""
    position = share * (len(SHARES) - 1)
    low = position.detach().long().clamp(0, len(SHARES) - 2)
    return low, position - low


def _check(gated: Gated, table: LatencyTable) -> None:
    own = {name: site.gates for name, site in gated.sites.items()}
    for name in {**table.gates, **own}:
        if table.gates.get(name) != own.get(name):
            counts = f"{table.gates.get(name, 'no')} gates at {name!r}, this one {own.get(name, 'none')}"
            raise InputError(f"table: it is of another network, with {counts}")
    macs = int(gated.macs(_records(gated, 1.0)))
    if macs != table.macs:
        raise InputError(f"table: it is of another network, of {table.macs:,} MACs with open gates, this one {macs:,}")


def _records(gated: Gated, value: float, leaves: str | None = None) -> GateRecords:
    """One image with every gate open, 1, or closed, 0, that takes no exit but the one where it leaves."""
    flags = {
        name: torch.full((1, site.gates), float(name != leaves) if site.kind == "exit" else value)
        for name, site in gated.sites.items()
    }
    return GateRecords({name: GateRecord(gated.sites[name], full, full) for name, full in flags.items()})
