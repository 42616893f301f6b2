"""The multiply-adds of ops without a room, as torch itself counts them.

Legend: N images.

The node is run without data, and each of torch's basic ops that it calls is examined. Products of matrices and
convolutions are counted by torch's formulas (`torch.utils.flop_counter`, two FLOPs for a multiply-add). Elementwise ops
and ops that move numbers cost nothing. Any other op that reads a parameter is refused, so that nothing is left out
silently.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sluicegate.errors import InputError
from sluicegate.graph import IMAGES, is_constant, module_of, path_of, tensors_in, without_data
from sluicegate.ops import Work
from sluicegate.ops.frame.reading import why_opaque

_VECTORS = {"mv": 0, "addmv": 1, "dot": 0, "vdot": 0}
"""Products with a vector: which argument is multiplied number by number."""
_FREE_TAGS = {"pointwise", "reduction", "inplace_view", "view_copy"}
_FREE = ("_adaptive_avg_pool", "_cat", "_log_softmax", "_native_batch_norm", "_safe_softmax", "_softmax", "_to_copy",
         "_unsafe_view", "adaptive_max_pool", "arange", "argsort", "avg_pool", "bernoulli", "cat", "channel_shuffle",
         "col2im", "constant_pad", "copy", "cumsum", "embedding", "empty", "fill", "flip", "full", "gather", "im2col",
         "index", "lift_fresh", "max_pool", "native_batch_norm", "native_channel_shuffle", "native_dropout",
         "native_group_norm", "native_layer_norm", "new_", "ones", "pixel_", "rand", "reflection_pad", "repeat",
         "replication_pad", "roll", "scalar_tensor", "scatter", "sort", "split", "stack", "topk", "tril", "triu",
         "unsafe_split", "upsample", "zero")  # fmt: skip
"""How the names of torch's ops begin that only move numbers, average them or normalise by them."""
_PRODUCTS = ("_trilinear", "_cdist", "_pdist", "_fft", "grid_sampler", "linalg_")
"""Those that multiply, in a way that has no formula here."""
_NUMBER_BY_NUMBER = ("outer", "ger", "addr", "kron", "vecdot", "linalg_vecdot", "cosine_similarity")
"""Products that torch makes of products of numbers, which have no formula of its own either."""


def work_of_unknown(graph_module: fx.GraphModule, node: fx.Node) -> Work | None:
    """What a node that no room knows costs for one image; None for nothing.

    Raises:
        InputError: it multiplies in a way that torch has no formula for, or its work does not grow in step with the
            number of images.
    """
    if not node.op.startswith("call") or is_constant(node) or any("values" not in x.meta for x in node.all_input_nodes):
        return None
    try:
        counted = [_count(graph_module, node, k) for k in (0, 1)]
    except Exception:  # no data is not enough
        return _refuse(graph_module, node) if _reads_weights(graph_module, node) else None
    refused = counted[0].products or _spelled(node) in _NUMBER_BY_NUMBER
    if refused or (not counted[0].known and _reads_weights(graph_module, node)):
        return _refuse(graph_module, node)
    few, many = (seen.macs for seen in counted)
    if few * IMAGES[1] != many * IMAGES[0]:
        raise InputError(f"net: the work of {path_of(node)!r} does not grow in step with the number of images")
    return Work("matmul", few // IMAGES[0]) if few else None


class _Seen(TorchDispatchMode):
    """Looks at every op of torch's.

    Attributes:
        macs: of those that have a formula.
        known: whether all others are known to be free.
        products: whether one of the others multiplies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs, self.known, self.products = 0, True, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        packet, name = func._overloadpacket, func._overloadpacket.__name__
        if packet in flop_registry:
            self.macs += flop_registry[packet](*args, **(kwargs or {}), out_val=made) // 2
        elif name in _VECTORS:
            self.macs += args[_VECTORS[name]].numel()
        elif not (func.is_view or {tag.name for tag in func.tags} & _FREE_TAGS or name.startswith(_FREE)):
            self.known, self.products = False, self.products or name.startswith(_PRODUCTS)
        return made


@torch.no_grad()
def _count(graph_module: fx.GraphModule, node: fx.Node, k: int) -> _Seen:
    args, kwargs = fx.map_arg((tuple(node.args), dict(node.kwargs)), lambda x: x.meta["values"][k])
    module = module_of(graph_module, node)
    does: Any = without_data(module) if module else node.target
    if node.op == "call_method":
        does, args = getattr(args[0], str(node.target)), args[1:]
    with _Seen() as seen:
        does(*args, **kwargs)
    return seen


def _spelled(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")


def _reads_weights(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    module = module_of(graph_module, node)
    own: list[Tensor] = list(module.parameters()) if isinstance(module, nn.Module) else []
    return bool(own) or any(is_constant(x) and tensors_in(x.meta["values"][0]) for x in node.all_input_nodes)


def _refuse(graph_module: fx.GraphModule, node: fx.Node) -> None:
    raise InputError(f"net: no MAC formula for {path_of(node)!r}: {why_opaque(graph_module, node)}")
