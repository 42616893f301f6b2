"""The multiply-adds of each op as a function of what is open.

Legend: N images, C channels, G gates of a site.

    MACs = unit * sum over groups (open inputs * open outputs) * (1 if the op runs for the image)

Each op's own formula stands in its room (`ops/`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from sluicegate.costs.flags import FlagNumbers
from sluicegate.costs.liveness import NOTHING, Liveness, liveness
from sluicegate.costs.unknown import work_of_unknown
from sluicegate.errors import InputError
from sluicegate.graph import copies, label, path_of
from sluicegate.ops import Work, kind_of, room_of
from sluicegate.ops.frame.links import OPEN, Flags
from sluicegate.ops.frame.room import call_of

NETWORK = ("conv", "linear", "matmul")

Opens = Mapping[str, Tensor]
"""Site -> [N, G]."""


@dataclass(frozen=True, eq=False)
class Side:
    """The channels on one side of an op: how many, and which gate closes each.

    Attributes:
        channels: C.
        flags: [C], the flag that closes each channel, OPEN for none.
        gated: site -> [G], how many channels each of its gates closes.
        columns: [C], the place of each channel's gate among all gates of these sites; one more for OPEN.
    """

    channels: int
    flags: Flags
    gated: dict[str, Tensor]
    columns: Tensor

    @property
    def fixed(self) -> int:
        """So many that no gate closes."""
        return int((self.flags == OPEN).sum())

    def open(self, opens: Opens) -> Tensor | int:
        """How many channels are open: [N], or a number where no gate has a say."""
        counts = [(opens[site] * per_gate.to(opens[site].device)).sum(1) for site, per_gate in self.gated.items()]
        return sum(counts, start=self.fixed)

    def by_group(self, groups: int) -> Flags | None:
        """[groups]: which flag closes each group as a whole; None if one closes a part of a group."""
        grouped = self.flags.reshape(groups, -1)
        return grouped[:, 0] if (grouped == grouped[:, :1]).all() else None

    def open_by_group(self, opens: Opens, groups: int) -> Tensor:
        """[N, groups], or [1, groups] where no gate has a say."""
        if not self.gated:
            return next(iter(opens.values())).new_full((1, groups), self.channels // groups)
        of_sites = [opens[site] for site in self.gated]
        every = torch.cat([*of_sites, torch.ones_like(of_sites[0][:, :1])], 1)
        return every[:, self.columns.to(every.device)].unflatten(1, (groups, -1)).sum(-1)


@dataclass(frozen=True, eq=False)
class Term:
    """MACs of one op for one image.

    Attributes:
        module: whose work it is.
        kind: conv, linear, matmul, gate, exit, pool, norm or add.
        unit: MACs for one pair of input and output channel.
        inputs, outputs: channels on both sides.
        groups: groups of a convolution.
        when: layer gates that must be open for the op to run, and exits before it, through which the image must go on.
        unless: of a classifier its own exit, whose gate must be closed.
    """

    module: str
    kind: str
    unit: int
    inputs: Side
    outputs: Side
    groups: int = 1
    when: frozenset[str] = NOTHING
    unless: frozenset[str] = NOTHING

    @property
    def dense(self) -> int:
        """With every gate open."""
        return self.unit * self.inputs.channels * self.outputs.channels // self.groups

    @property
    def sites(self) -> frozenset[str]:
        """The sites that have a say."""
        return self.when | self.unless | self.inputs.gated.keys() | self.outputs.gated.keys()

    def cost(self, opens: Opens) -> Tensor | int:
        """[N], or a number where no gate has a say."""
        if missing := sorted(self.sites - opens.keys()):
            raise InputError(f"gates: no record for site {missing[0]!r}, on which the cost of {self.module!r} depends")
        cost = self.unit * self._pairs(opens)
        for site in sorted(self.when):
            cost = cost * opens[site][:, 0]
        for site in sorted(self.unless):
            cost = cost * (1 - opens[site][:, 0])
        return cost

    def _pairs(self, opens: Opens) -> Tensor | int:
        """Pairs of an open input and an open output channel of the same group."""
        if self.groups == 1:
            return self.inputs.open(opens) * self.outputs.open(opens)
        read, made = self.inputs.by_group(self.groups), self.outputs.by_group(self.groups)
        if read is not None and made is not None and (read == made).all():  # whole groups, as of depthwise convolutions
            return self.outputs.open(opens) * (self.inputs.channels // self.groups)
        pairs = self.inputs.open_by_group(opens, self.groups) * self.outputs.open_by_group(opens, self.groups)
        return pairs.sum(-1)


def terms_of(graph_module: fx.GraphModule) -> Iterator[Term]:
    """The terms of a network, in order of execution.

    Raises:
        InputError: an op multiplies in a way that neither a room nor torch has a formula for.
    """
    live = liveness(graph_module)
    for node in graph_module.graph.nodes:
        call, room = call_of(node), room_of(node)
        work = room.work(node, call) if room and call else work_of_unknown(graph_module, node)
        if work:
            yield _term(graph_module, node, work, live)


def _term(graph_module: fx.GraphModule, node: fx.Node, work: Work, live: Liveness) -> Term:
    kind = _kind(node, work.kind, live)
    if _is_halved(node):  # of two logits only the difference matters, and that is linear too
        work = work._replace(outputs=work.outputs // 2)
    sides = _sides(node, work, live) if work.kind in NETWORK else (_whole(work.inputs), _whole(work.outputs))
    when = live.when[node] | live.passed[node]
    return Term(label(node), kind, work.unit * _images(node, kind), *sides, work.groups, when, live.unless[node])


def _sides(node: fx.Node, work: Work, live: Liveness) -> tuple[Side, Side]:
    call = call_of(node)
    if call is None or work.kind == "matmul":
        return _whole(work.inputs), _whole(work.outputs)
    read, made = live.map_of(call.inputs[0]), live.map_of(node)
    inputs = _side(read, live.numbers) if len(read) == work.inputs else _whole(work.inputs)
    counted_once = len(made) != work.outputs  # a pool's output is its input, a difference's half of it
    return inputs, _whole(work.outputs) if counted_once else _side(made, live.numbers)


def _whole(channels: int) -> Side:
    return Side(channels, np.full(channels, OPEN), {}, torch.zeros(0, dtype=torch.long))


def _side(flags: Flags, numbers: FlagNumbers) -> Side:
    gated: dict[str, Tensor] = {}
    columns = np.full(len(flags), -1)
    reached = 0
    for site in numbers.sites_of(flags):
        first, gates = numbers.first[site], numbers.gates[site]
        mine = (flags >= first) & (flags < first + gates)
        gated[site] = torch.from_numpy(np.bincount(flags[mine] - first, minlength=gates))
        columns[mine] = flags[mine] - first + reached
        reached += gates
    return Side(len(flags), flags, gated, torch.from_numpy(np.where(columns < 0, reached, columns)))


def _kind(node: fx.Node, kind: str, live: Liveness) -> str:
    """Whose work an op is, if it is not the plain network's."""
    if kind not in NETWORK:
        return kind
    if live.unless[node]:
        return "exit"
    return "gate" if node in live.deciding else kind


def _images(node: fx.Node, kind: str) -> int:
    """How often an op does its work for one image: once for each copy of it that the value holds, as of frames."""
    if kind == "matmul":
        return 1
    count = copies(node)
    if count is None and kind in NETWORK:
        raise InputError(f"net: the work of {path_of(node)!r} does not grow in step with the number of images")
    return count or 1


def _is_halved(node: fx.Node) -> bool:
    return len(node.users) == 1 and kind_of(next(iter(node.users))) == "difference"
