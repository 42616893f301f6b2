"""Which channels of a gated network matter, by gradients: what no gradient reaches nobody needs.

Legend: S scenarios, C channels, G gates of a site.

Nothing here asks the library what a closed gate saves. The graph is run in float64, once for each scenario: which gates
are open. A channel is zero where all its numbers are, and needed where anything that is asked for has a gradient in
it: the output, and the logits of the gates that act on something needed. So that neither comes about by chance,
activations have no flat parts and maxima look at all pixels while this is found out; zeros stay zeros.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.gates import Gate, GateSite, leave, mask_channels, mask_layer
from sluicegate.ops import call_of, channel_count, kind_of, layout_of

Opens = Mapping[str, Tensor]
"""Site -> [S, G], what its gates decide in each scenario."""

_BENT = ("activation", "prelu", "softmax", "max_pool", "adaptive_pool", "global_pool", "channel_pool")
_SHIFTING = ("sigmoid", "hardsigmoid", "softplus")


class Reach(NamedTuple):
    """What was found.

    Attributes:
        zero, needed: value -> [S, C].
        asked: site -> [S], whether its gates are looked at.
    """

    zero: dict[fx.Node, Tensor]
    needed: dict[fx.Node, Tensor]
    asked: dict[str, Tensor]


def by_channel(node: fx.Node, value: Tensor) -> Tensor:
    """A node's value as [S, C, pixels]."""
    layout = layout_of(node)
    return value.permute(0, *layout.channels, *layout.pixels).reshape(len(value), channel_count(node), -1)


def over_channels(node: fx.Node, flags: Tensor) -> Tensor:
    """[C] as a factor of a node's value."""
    sides, channels = node.meta["values"][0].shape, layout_of(node).channels
    in_order = sorted(range(len(channels)), key=channels.__getitem__)
    spread = flags.reshape([sides[side] for side in channels]).permute(in_order)
    return spread.reshape([size if side in channels else 1 for side, size in enumerate(sides)])


def reach(gated: GatedModel, opens: Opens, skips: Tensor, before: Mapping[str, Tensor] | None = None) -> Reach:
    """Find out what matters in each scenario; the network is in float64.

    Args:
        skips: [S], whether other gates may go unasked than in the first scenario: those in a layer that is skipped,
            while all are asked that come before a closed channel.
        before: sites that are looked at in any case -> [S], in which scenarios.
    """
    scenarios = len(next(iter(opens.values())))
    image = torch.randn(1, *gated._input_shapes[0][1:], generator=torch.Generator().manual_seed(7)).double()
    run = _Structure(gated.network, opens)
    with torch.enable_grad():
        output, _ = run.run(image.repeat(scenarios, *(1,) * (image.dim() - 1)).requires_grad_())
    asked = {site: torch.zeros(scenarios, dtype=torch.bool) for site in opens} | dict(before or {})
    while True:
        grads = _gradients(run, output, asked)
        more = dict(asked)
        for node, site in run.acts.items():
            if grads.get(node) is not None:
                found = more[site] | grads[node].flatten(1).any(1)
                more[site] = found | (found[0] & ~skips)
        if all(torch.equal(asked[site], more[site]) for site in asked):
            break
        asked = more
    zero = {node: (by_channel(node, value) == 0).all(2) for node, value in run.values.items()}
    needed = {node: by_channel(node, grads[node]).any(2) for node in run.values if grads.get(node) is not None}
    return Reach(zero, {node: needed.get(node, torch.zeros_like(zero[node])) for node in zero}, asked)


def site_of(network: nn.Module, decision: fx.Node) -> GateSite:
    """Whose decision a mask reads."""
    pair = decision.all_input_nodes[0]
    gate = network.get_submodule(str(pair.all_input_nodes[0].target))
    assert isinstance(gate, Gate) and isinstance(pair.args[1], int)
    return gate.sites[pair.args[1]]


def _gradients(run: "_Structure", output: Tensor, asked: Mapping[str, Tensor]) -> dict[fx.Node, Any]:
    total = _weighed(output).sum()
    for site, scenarios in asked.items():
        total = total + _weighed(run.logits[site])[scenarios].sum()
    nodes = [node for node, value in run.values.items() if value.requires_grad]
    values: Sequence[Tensor] = [run.values[node] for node in nodes]
    return dict(zip(nodes, torch.autograd.grad(total, values, retain_graph=True, allow_unused=True), strict=True))


def _weighed(x: Tensor) -> Tensor:
    """Times random numbers, the same in each scenario, so that no sum is constant by chance, as that of a softmax."""
    return x * torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(0), dtype=x.dtype)


class _Structure(fx.Interpreter):
    """Runs a gated graph with given decisions, in a form that shows what depends on what.

    Attributes:
        values: of all nodes with channels.
        logits: site -> what its head says.
        acts: masks and exits -> the site that decides there.
    """

    def __init__(self, network: fx.GraphModule, opens: Opens) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.opens = opens
        self.values: dict[fx.Node, Tensor] = {}
        self.logits: dict[str, Tensor] = {}
        self.acts: dict[fx.Node, str] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = (
            self._decided(n) if kind_of(n) == "gate" else self._bent(n) if kind_of(n) in _BENT else super().run_node(n)
        )
        if isinstance(value, Tensor) and call_of(n) is not None:
            self.values[n] = value
        if n.op == "placeholder":
            self.values[n] = value
        if n.target in (mask_channels, mask_layer, leave):
            self.acts[n] = site_of(self.module, n.all_input_nodes[1]).name
        return value

    def _bent(self, node: fx.Node) -> Tensor:
        """An op that looks at all that it reads, always. A softmax has no channels that could be left out."""
        call = call_of(node)
        assert call is not None
        x, layout = self.env[call.inputs[0]], layout_of(call.inputs[0])
        if call.kind in ("activation", "prelu"):
            made = F.leaky_relu(x, 0.5)
            return made + 1 if call.kind == "activation" and call.attributes["function"] in _SHIFTING else made
        made = super().run_node(node)
        if call.kind == "softmax":
            return made + x.mean(layout.channels, keepdim=True)
        if call.kind == "channel_pool":
            return made + x.mean(layout.channels).reshape(made.shape)
        return made + x.mean(layout.pixels).reshape(*made.shape[:2], *(1,) * (made.dim() - 2))

    def _decided(self, node: fx.Node) -> Any:
        gate = self.module.get_submodule(str(node.target))
        assert isinstance(gate, Gate)
        said = [self.env[x] for x in node.all_input_nodes]
        self.logits |= {site.name: logits for site, logits in zip(gate.sites, said, strict=True)}
        opens = [self.opens[site.name].double() for site in gate.sites]
        return [(logits, is_open, is_open) for logits, is_open in zip(said, opens, strict=True)]
