"""Pruning: decisions that are the same for every image are built into the network.

Legend: N images, G gates of a site, K outputs.

    prune            no gate is left: a plain network of ordinary layers
    prune_settled    gates that decide by the image stay; all others are removed, with their heads

If `share` is 1, both give the outputs of the gated network for these images, up to
rounding. Sources: stochastic gates (2019), sections 3.3 and 4.3 (data-independent gates).
"""

from collections.abc import Sequence

import torch
from torch import fx, nn

from sluicegate.convert import GatedModel
from sluicegate.costs import BY_IMAGE, Settled
from sluicegate.cutting.settling import Batches, settled_gates
from sluicegate.cutting.surgery import cut_network
from sluicegate.errors import InputError
from sluicegate.graph import class_name, copy_in, module_of
from sluicegate.ops import read_copy


def prune(
    gated: GatedModel, images: Batches | None = None, share: float = 1.0, outputs: Sequence[int] | None = None
) -> fx.GraphModule:
    """The plain network that remains if no gate depends on the image.

    Args:
        gated: a network whose gates ignore the image, or whose gates are settled on `images`; it is not changed.
        images: [N, C, H, W] as the network takes them, or batches of these, on which gates are observed. None: gates
            decide by their learned logits.
        share: a gate has settled if it does the same for at least this share of the images, in [0.5, 1]; at 0.5 every
            gate is fixed to what it does more often.
        outputs: numbers of the classes [N, K] to keep; all if None.

    Returns:
        A module in evaluation: an `fx.GraphModule` of torch's own layers, under the original's names and with an
        ordinary state dict. It is not the original class with smaller layers, because the original `forward` may
        contain numbers of channels, and cannot add a branch to only some channels. If a sum or a mask at the end of a
        branch needs the numbers of its channels, the module stores them in a buffer.

    Raises:
        InputError: some gates decide by the image (`prune_settled` keeps them), or see `settled_gates`.

    Example:
        >>> gated = sg.gate_model(net, sg.ChannelGating(head=sg.LearnedLogits), torch.zeros(1, 3, 32, 32))
        >>> small = sg.prune(gated)
        >>> torch.save(small.state_dict(), "small.pt")
    """
    return without_gates(gated, settled_gates(gated, images, share), outputs)


def prune_settled(
    gated: GatedModel, images: Batches | None = None, share: float = 1.0, outputs: Sequence[int] | None = None
) -> GatedModel:
    """The network without the gates that have settled; the others stay and decide as before.

    Channels of always closed gates are removed, those of always open gates stay. Both disappear from their heads, and a
    head without gates is removed.

    Args:
        gated, images, share, outputs: as for `prune`.

    Returns:
        A gated network, in evaluation, that can be trained, counted, and exported as any other.

    Raises:
        InputError: every gate has settled, so that `prune` gives a plain network; or see `settled_gates`.

    Example:
        >>> smaller = sg.prune_settled(gated, images, share=0.99)
        >>> smaller.macs(smaller(images, return_gates=True).gates)
    """
    return with_gates_left(gated, settled_gates(gated, images, share), outputs)


def without_gates(gated: GatedModel, settled: Settled, outputs: Sequence[int] | None = None) -> fx.GraphModule:
    """`prune`, once it is known what gates do: [G] of each site, all of them settled."""
    left = {name: int((does == BY_IMAGE).sum()) for name, does in settled.items()}
    if count := sum(left.values()):
        first = next(name for name, gates in left.items() if gates)
        raise InputError(
            f"gated: {count} of {sum(map(len, settled.values()))} gates decide by the image, such as {left[first]} at "
            f"{first!r}; give `images` over which they settle, or a lower `share`, or keep them with prune_settled"
        )
    return _plain(cut_network(gated, settled, outputs))


def with_gates_left(gated: GatedModel, settled: Settled, outputs: Sequence[int] | None = None) -> GatedModel:
    """`prune_settled`, once it is known what gates do: [G] of each site, some of them BY_IMAGE."""
    if not any((does == BY_IMAGE).any() for does in settled.values()):
        raise InputError("gated: every gate has settled, so nothing of it is conditional; use prune")
    network = cut_network(gated, settled, outputs)
    read_copy(network, [torch.empty(sides, device="meta") for sides in gated.input_shapes])
    return GatedModel(network, gated.input_shapes).eval()


def _plain(network: fx.GraphModule) -> fx.GraphModule:
    """A graph of torch's own layers and ops, which knows nothing of where it came from."""
    for node in list(network.graph.nodes):
        module = module_of(network, node)
        if module is not None and class_name(module).startswith("sluicegate."):
            _spell_out(network, node, module)
    network.delete_all_unused_submodules()
    network.meta.clear()
    for node in network.graph.nodes:
        node.meta.clear()
    network.recompile()
    return network


def _spell_out(network: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Put what one of our own layers does in the place of its call."""
    (made,) = copy_in(network, str(node.target), fx.symbolic_trace(module), node.all_input_nodes, before=node)
    node.replace_all_uses_with(made)
    network.graph.erase_node(node)
