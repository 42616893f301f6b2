"""An independent way to run and to count a gated network for one image: with the closed parts physically cut out.

Nothing here asks the library which channels or branches matter; `reach.py` finds that out. A channel is cut if some
closed gate by itself makes it zero, or leaves nobody who needs it. (Where it takes two, as for the sum of two gated
values, the channel stays. Where either of two would do, the library knows one: then what is left is a lower bound of
its count, and `in_doubt`.) Convolutions and linear layers have the filters and inputs that are left, and each of their
multiplies is counted; every other op reads zeros in the place of what was cut. A layer of which nothing is needed is
not run.
"""

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from reach import Opens, Reach, over_channels, reach
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.gates import Gate, GateRecords
from sluicegate.gates.heads import pool, pool_sizes
from sluicegate.ops import call_of, channel_count, kind_of, pixel_count


class Left(NamedTuple):
    """What is left of a network for one image.

    Attributes:
        channels: value -> [C].
        runs: the values that are computed at all.
    """

    channels: dict[fx.Node, Tensor]
    runs: set[fx.Node]


class SlicedRun:
    """Runs single images through a gated network, with decisions that are given.

    Attributes:
        macs: of the last image: multiplies, and additions where a head averages.
        in_doubt: whether for that image a channel was cut whose gate is open, by another one.
    """

    def __init__(self, gated: GatedModel) -> None:
        self.gated = copy.deepcopy(gated).double().eval()
        self.macs, self.in_doubt = 0, False
        self._exits = [name for name, site in gated.sites.items() if site.kind == "exit"]
        self._gates = [
            (name, i) for name, site in gated.sites.items() for i in range(site.gates) if site.kind != "exit"
        ]
        self._decided = self._decisions()
        kinds = [self.gated.sites[name].kind for name, _ in self._gates]
        self._of_channels = torch.tensor([False, *(kind == "channel" for kind in kinds)])
        self._by_exit: dict[str | None, Reach] = {None: self._reach(None)}
        self._by_exit |= {leaves: self._reach(leaves) for leaves in self._exits}

    def run(self, image: Tensor, gates: GateRecords, index: int) -> Tensor:
        """The network's output for `image`, which is number `index` in the records."""
        opens = {name: record.open[index : index + 1] for name, record in gates.items()}
        cut = _Cut(self.gated.network, self._left(opens), opens)
        with torch.no_grad():
            output, _ = cut.run(image.double())
        self.macs = cut.macs
        return output

    def _one_closed(self, leaves: str | None) -> Opens:
        """Nothing is closed, then one gate after another; images leave at an exit, or go on."""
        sites = self.gated.sites
        opens = {name: torch.ones(1 + len(self._gates), site.gates) for name, site in sites.items()}
        for scenario, (name, i) in enumerate(self._gates, 1):
            opens[name][scenario, i] = 0
        return opens | ({leaves: torch.zeros(1 + len(self._gates), 1)} if leaves else {})

    def _reach(self, leaves: str | None) -> Reach:
        """What matters to images that leave at an exit, or go on; gates in front of it are looked at in any case."""
        names = list(self.gated.sites)  # in order of execution
        before = {name: self._by_exit[None].asked[name] for name in names[: names.index(leaves)]} if leaves else {}
        return reach(self.gated, self._one_closed(leaves), ~self._of_channels, before)

    def _left(self, opens: Opens) -> Left:
        leaves = next((name for name in self._exits if opens[name].item() == 0), None)
        found = self._by_exit[leaves]
        is_closed = torch.tensor([False, *(opens[name][0, i].item() == 0 for name, i in self._gates)])
        channels, runs = {}, set()
        self.in_doubt = False
        for node, needed in found.needed.items():
            closed = is_closed & self._decided[node]
            alive = needed & ~found.zero[node]  # [S, C]
            kills = alive[0] & ~alive  # [S, C]
            channels[node] = ~kills[closed].any(0)
            others = kills[~is_closed & self._decided[node] & self._of_channels].any(0)
            self.in_doubt |= bool((kills[closed & self._of_channels].any(0) & others).any())
            if needed[0].any() and needed[closed].any(1).all():
                runs.add(node)
        return Left(channels, runs)

    def _decisions(self) -> dict[fx.Node, Tensor]:
        """[S] for each node: whether the scenario's gate has decided by then; one that comes later spares nothing, but
        for what gates alone look at, which can wait."""
        names, found = ["", *(name for name, _ in self._gates)], {}
        decided: set[str] = set()
        waiting: set[fx.Node] = set()
        for node in self.gated.network.graph.nodes:
            if kind_of(node) == "gate":
                decided |= {site.name for site in _gate(self.gated.network, node).sites}
            found[node] = torch.tensor([name in decided for name in names])
        for node in reversed(self.gated.network.graph.nodes):
            if node.users and all(kind_of(user) == "gate" or user in waiting for user in node.users):
                waiting.add(node)
                found[node] = torch.ones(len(names), dtype=torch.bool)
        return found


def _gate(network: nn.Module, node: fx.Node) -> Gate:
    gate = network.get_submodule(str(node.target))
    assert isinstance(gate, Gate)
    return gate


class _Cut(fx.Interpreter):
    """Runs a graph with what is left of its layers."""

    def __init__(self, network: fx.GraphModule, left: Left, opens: Opens) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.left, self.runs, self.opens = left.channels, left.runs, opens
        self.macs = 0

    def run_node(self, n: fx.Node) -> Any:
        if kind_of(n) == "gate":
            return self._decided(n)
        if n in self.left and n not in self.runs:
            return torch.zeros((1, *n.meta["values"][0].shape[1:]), dtype=torch.float64)
        made = self._layer(n) if kind_of(n) in _LAYERS else super().run_node(n)
        if n.target in (pool, pool_sizes):
            x = n.all_input_nodes[0]
            self.macs += int(self.left[x].sum()) * pixel_count(x) if made.data_ptr() != self.env[x].data_ptr() else 0
        if kind_of(n) == "lstm":
            self.macs += sum(channel_count(x) for x in n.all_input_nodes[:1]) * 2 * channel_count(n)
            self.macs += channel_count(n) ** 2 if len(n.all_input_nodes) > 1 else 0
        return made * over_channels(n, self.left[n]) if n in self.left else made

    def _decided(self, node: fx.Node) -> Any:
        gate = _gate(self.module, node)
        decisions = []
        for site, estimator, x in zip(gate.sites, gate.estimators, node.all_input_nodes, strict=True):
            is_open = self.opens[site.name].double()
            decisions.append((self.env[x], is_open, estimator.factor(self.env[x], is_open)))
        return decisions

    def _layer(self, node: fx.Node) -> Tensor:
        """A convolution or linear layer with the filters and inputs that are left, group by group."""
        call = call_of(node)
        assert call is not None
        x = self.env[call.inputs[0]]
        weight, bias = (call.tensors[r].read(self.module) if r in call.tensors else None for r in ("weight", "bias"))
        read, made = self.left[call.inputs[0]].nonzero()[:, 0], self.left[node].nonzero()[:, 0]
        groups, transposed = call.attributes.get("groups", 1), kind_of(node) == "transposed_conv"
        per_group = len(self.left[call.inputs[0]]) // groups, len(self.left[node]) // groups
        whole = torch.zeros((1, *node.meta["values"][0].shape[1:]), dtype=torch.float64)
        for group in range(groups):
            ins, outs = (side[side // size == group] for side, size in zip((read, made), per_group, strict=True))
            if not len(outs):
                continue
            a, b = (ins if transposed else outs), (outs if transposed else ins)
            rows, columns = (a, b - group * per_group[1]) if transposed else (a, b - group * per_group[0])
            part = weight[rows][:, columns]  # type: ignore[index]
            bias_part = None if bias is None else bias[outs]
            self._count(node, part)
            _LAYERS[call.kind](whole, x, part, bias_part, ins, outs, call.attributes)
        return whole

    def _count(self, node: fx.Node, weight: Tensor) -> None:
        call = call_of(node)
        assert call is not None
        halved = len(node.users) == 1 and kind_of(next(iter(node.users))) == "difference"
        places = pixel_count(call.inputs[0] if call.kind == "transposed_conv" else node)
        self.macs += weight.numel() * places // (2 if halved else 1)


def _convolve(
    whole: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, ins: Tensor, outs: Tensor, has: Any
) -> None:
    if len(ins):
        whole[:, outs] = F.conv2d(x[:, ins], weight, bias, has["stride"], has["padding"], has["dilation"])
    elif bias is not None:
        whole[:, outs] = bias[:, None, None]


def _transposed(
    whole: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, ins: Tensor, outs: Tensor, has: Any
) -> None:
    more = (has["stride"], has["padding"], has["output_padding"], 1, has["dilation"])
    if len(ins):
        whole[:, outs] = F.conv_transpose2d(x[:, ins], weight, bias, *more)
    elif bias is not None:
        whole[:, outs] = bias[:, None, None]


def _multiply(
    whole: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, ins: Tensor, outs: Tensor, has: Any
) -> None:
    whole[..., outs] = F.linear(x[..., ins], weight, bias)


_LAYERS = {"conv": _convolve, "transposed_conv": _transposed, "linear": _multiply}
