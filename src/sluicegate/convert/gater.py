"""GaterGating: one network gates the filters of another (GaterNet, Chen et al., CVPR 2019).

Legend: N images, h features, b neurons of the bottleneck, c gates of all sites.

    f = E(x)     f' = FC_1(f)     g' = FC_2(ReLU(BatchNorm(f')))     g = D(f): Improved SemHash of g'    (section 3.2)

with FC_1: h -> b and FC_2: b -> c. E, the gater, is any classifier without its last layer. Its nodes are copied into
the graph, before the network's own. Costs, training and lowering treat them like other ops; only a gate reads them.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx, nn

from sluicegate.convert.gating import ChannelGating, Gating, Placement
from sluicegate.errors import InputError
from sluicegate.gates import Gate, ImprovedSemHash, PooledHead
from sluicegate.graph import copy_in, example_of, output_of, shape
from sluicegate.ops import kind_of, read_again, read_network
from sluicegate.schedule import Schedule

GATER = "gates.gater"
"""The gater's place in a gated graph; its modules keep their names below it."""


@dataclass(frozen=True)
class GaterGating(Gating):
    """Channel gates that a second network decides, all at once and from the image itself.

    Args:
        gater: a classifier that takes what the network takes and ends in a linear layer, which is cut off; copied.
        at, granularity: which channels (see `ChannelGating`); the paper gates the last convolution of every residual
            unit, filter by filter.
        bottleneck: b; 8 on CIFAR, 256 or 1024 on ImageNet (section 4.4).
        initial_open_rate: sigmoid of the logit with which a gate starts. The paper states none. Above 0.92 the
            saturating sigmoid passes a gradient only where the noise brings it back.
        dropout: see `ImprovedSemHash`; a number, or a schedule over training.
    """

    gater: nn.Module
    at: str | Sequence[str] = "out"
    granularity: int = 1
    bottleneck: int = 8
    initial_open_rate: float = 0.9
    dropout: float | Schedule = 0.0

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        channel = ChannelGating(self.at, self.granularity)
        served = [channel.served(c) for c in channel.channels(graph_module)]  # the gater's own branches are no sites
        inputs = _inputs(graph_module)
        extractor = _extractor(inputs, self.gater)
        graph_module.add_submodule(GATER, extractor)
        (features,) = copy_in(graph_module, GATER, extractor, inputs, before=inputs[-1].next)
        read_again(graph_module)
        sites = [s.site._replace(reads=features.name) for s in served]
        head = PooledHead(shape(features)[1], [site.gates for site in sites], self.bottleneck, batch_norm=True)
        gate = Gate(head, sites, [ImprovedSemHash(self.dropout)] * len(sites), self.initial_open_rate)
        return [Placement("filters", features, tuple(s.masked for s in served), gate)]


def _extractor(inputs: Sequence[fx.Node], gater: nn.Module) -> fx.GraphModule:
    """E: the gater for the inputs of a network, without its last layer."""
    extractor = read_network(copy.deepcopy(gater), tuple(map(example_of, inputs)))
    output = output_of(extractor.graph)
    last = output.args[0]
    if not (isinstance(last, fx.Node) and kind_of(last) == "linear" and len(shape(last)) == 2):
        raise InputError(f"gater: {type(gater).__name__} does not end in a linear layer from [N, h], to be cut off")
    output.args = (last.all_input_nodes[0],)
    extractor.graph.erase_node(last)
    extractor.delete_all_unused_submodules()
    extractor.recompile()
    return extractor


def _inputs(graph_module: fx.GraphModule) -> list[fx.Node]:
    return [n for n in graph_module.graph.nodes if n.op == "placeholder"]
