"""A gated graph rebuilt with the channels that are left.

Legend: N images, C channels.

A new value has only some of its channels, `Made.have`. A missing channel is unread, zero, or a number that does not
depend on the images, `Made.constant`; the channel maps (`costs.liveness` with the settled gates) say which are zero or
unread. Each op is rebuilt by the rule of its kind (`rules.py`). An op without a rule stays whole, with whole inputs. A
reader of a value requests the channels that it needs (`with_channels`): others are left out, and missing ones are
filled in.

A batch norm makes a number of a missing channel, and a layer without padding takes it into its bias. Where all channels
are numbers, as in the output of a layer whose inputs are all closed, no op is left.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.costs import Settled, liveness
from sluicegate.graph import call, is_constant, shape
from sluicegate.ops import Call, channel_count, inputs_of, layout_of

_OF_GRAPH = ("values", "call", "layout", "constant", "hands_on", "writes", "boosted")
"""What a node knows of its own graph, and is read anew."""


class Made(NamedTuple):
    """What has become of a value: its node, None if it has no channel; which channels it has [C]; and the numbers that
    the others are [C], None if all are zero."""

    node: fx.Node | None
    have: np.ndarray
    constant: Tensor | None = None

    def nonzero(self) -> np.ndarray:
        """[C] bool: the channels that may be other than zero."""
        return self.have if self.constant is None else self.have | (self.constant != 0).numpy()


class Walk:
    """The new graph while it is built.

    Args:
        network: the old graph, read; its modules are replaced by `finish`.
        settled: what gates do, of all sites.
        wanted: channels [K] bool of the network's result that are wanted; all where it is None.
    """

    def __init__(self, network: fx.GraphModule, settled: Settled, wanted: tuple[fx.Node, np.ndarray] | None) -> None:
        self.network, self.settled = network, settled
        self.live = liveness(network, settled)
        self.wanted = dict([wanted] if wanted else [])
        self.graph = fx.Graph(tracer_cls=fx.Tracer)
        self.made: dict[fx.Node, Made] = {}
        self.modules: dict[str, nn.Module] = {}
        self.buffers: list[str] = []
        self._paths: dict[tuple[str, bytes], str] = {}
        self._asked: dict[tuple[fx.Node, bytes], fx.Node] = {}
        self._count: fx.Node | None = None

    def kept(self, node: fx.Node) -> np.ndarray:
        """[C] bool: the channels of an old value that are needed."""
        if node in self.wanted:
            return self.wanted[node]
        return self.live.map_of(node) != self.live.numbers.closed

    # What rules ask for.

    def with_channels(self, x: fx.Node, wanted: np.ndarray) -> fx.Node:
        """The new node that has these channels of an old value, [C] bool, and no other."""
        key = (x, wanted.tobytes())
        if key not in self._asked:
            self._asked[key] = self._adapted(x, wanted)
        return self._asked[key]

    def whole(self, x: fx.Node) -> fx.Node:
        """The new node for an old value with all of its channels."""
        if not shape(x) or is_constant(x):
            node = self.made[x].node
            assert node is not None
            return node
        return self.with_channels(x, np.full(channel_count(x), True))

    def picked(self, x: fx.Node, channels: np.ndarray) -> fx.Node:
        """The new node that has these channels of an old value, by number, in this order."""
        there = np.isin(np.arange(channel_count(x)), channels)
        source = self.with_channels(x, there)
        places = np.cumsum(there)[channels] - 1
        return (
            source if (np.diff(places) == 1).all() and len(places) == there.sum() else self._chosen(x, source, places)
        )

    def copy(self, node: fx.Node, new: Mapping[fx.Node, fx.Node], target: Any = None) -> fx.Node:
        """A new node that does what an old one does; what `new` does not name is read whole."""
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda x: new.get(x) or self.whole(x))
        if target is None and node.op == "call_module":
            target = self.place(node, b"whole", lambda: self.network.get_submodule(str(node.target)))
        return self.emit(node, node.op, node.target if target is None else target, args, kwargs)

    def emit(self, node: fx.Node, op: str, target: Any, args: tuple[Any, ...], kwargs: Any = None) -> fx.Node:
        """A new node in the place of an old one."""
        made = self.graph.create_node(op, target, args, kwargs or {}, node.name, node.type)
        made.meta = {name: value for name, value in node.meta.items() if name not in _OF_GRAPH}
        return made

    def place(self, node: fx.Node, key: bytes, make: Callable[[], nn.Module]) -> str:
        """The path of the module that an old node calls, cut as `key` says; of one that is cut in two ways a second."""
        path = str(node.target)
        if (path, key) not in self._paths:
            is_second = any(known == path for known, _ in self._paths)
            self._paths[path, key] = self._free(path) if is_second else path
            self.modules[self._paths[path, key]] = make()
        return self._paths[path, key]

    def _free(self, path: str) -> str:
        """A path that no module has."""
        taken = {*self.modules, *(name for name, _ in self.network.named_modules())}
        return next(name for i in range(2, len(taken) + 3) if (name := f"{path}_{i}") not in taken)

    def buffer(self, name: str, value: Tensor) -> fx.Node:
        """A node for a tensor that the network keeps."""
        names = (name, *(f"{name}_{i}" for i in range(2, len(self.buffers) + 3)))
        free = next(one for one in names if not hasattr(self.network, one))
        self.network.register_buffer(free, value)
        self.buffers.append(free)
        return self.graph.get_attr(free)

    def _name(self, x: fx.Node) -> str:
        """A value's name, or that of what a mask acts on."""
        while x in self.live.masks:
            x = inputs_of(x)[0]
        return x.name

    def numbers(self, x: fx.Node, wanted: np.ndarray) -> fx.Node:
        """The numbers of a value's missing channels as a node [1, C, 1, 1], which a sum spreads over images and pixels;
        zero for the others."""
        constant = self.made[x].constant
        assert constant is not None
        sides = [1] * len(shape(x))
        sides[dim_of(x)] = int(wanted.sum())
        return self.buffer(f"{self._name(x)}_constant", constant[torch.from_numpy(wanted)].reshape(sides).clone())

    # The walk.

    def constant_of(self, node: fx.Node, op: Call) -> Tensor | None:
        """[C] what a node makes where all that it reads is constant, if that is one number a channel."""
        given = {x: one for x in op.inputs if self.made[x].node is None and (one := self.made[x].constant) is not None}
        if not given or len(given) < len(set(op.inputs)):
            return None
        if op.kind not in ("conv", "linear", "transposed_conv"):
            return self._of_numbers(node, op, given) if op.kind in (*_BY_CHANNEL, "add") else None
        if any(map(_sides_of_channels, (node, *op.inputs))) or any(one.any() for one in given.values()):
            return None  # a window at the edge sees less of it
        bias = op.tensors.get("bias")
        return bias.read(self.network).detach() if bias else next(iter(given.values())).new_zeros(channel_count(node))

    def missing_of(self, node: fx.Node, op: Call, kept: np.ndarray) -> Tensor | None:
        """[C] what a node makes of the channels that its input lacks, zero elsewhere; None where it lacks none, or they
        are not made one by one."""
        if op.kind not in _BY_CHANNEL or len(op.inputs) != 1:
            return None
        (x,) = op.inputs
        have, constant = self.made[x].have, self.made[x].constant
        missing = kept & ~have if len(have) == len(kept) else have & False
        if not missing.any():
            return None
        zeros = torch.zeros(len(have), dtype=x.meta["values"][0].dtype)
        made = self._of_numbers(node, op, {x: zeros if constant is None else constant})
        return None if made is None else made * torch.from_numpy(missing)

    def _of_numbers(self, node: fx.Node, op: Call, given: Mapping[fx.Node, Tensor]) -> Tensor | None:
        """[C] an op on single channels, of numbers in place of its inputs."""
        if any(map(_sides_of_channels, (node, *given))):
            return None
        if op.kind == "global_pool":
            return next(iter(given.values())) if op.attributes["function"] in ("mean", "max") else None
        if op.kind == "identity" and dim_of(node) != dim_of(op.inputs[0]):
            return None
        views = {
            x: one.clone().reshape([-1 if side == dim_of(x) else 1 for side in range(len(shape(x)))])
            for x, one in given.items()
        }
        with torch.no_grad():
            return call(self.network, node, lambda x: views[x] if x in views else _read(self.network, x)).flatten()

    def _adapted(self, x: fx.Node, wanted: np.ndarray) -> fx.Node:
        made = self.made[x]
        if made.node is None:
            return self._spread(x, wanted)
        if (made.have == wanted).all():
            return made.node
        places = np.cumsum(made.have) - 1
        if (made.have | ~wanted).all():
            return self._chosen(x, made.node, places[wanted])
        padded = self.graph.call_function(F.pad, (made.node, [*(0, 0) * (len(shape(x)) - 1 - dim_of(x)), 0, 1]))
        places = np.where(made.have, places, made.have.sum())  # the last one is zero
        filled = self._chosen(x, padded, places[wanted])
        if not (made.nonzero() & ~made.have & wanted).any():
            return filled
        return self.graph.call_function(operator.add, (filled, self.numbers(x, wanted)))

    def _chosen(self, x: fx.Node, source: fx.Node, places: np.ndarray) -> fx.Node:
        """Channels of a new node by their places in it."""
        if len(places) and (np.diff(places) == 1).all():
            cut = [slice(None)] * len(shape(x))
            cut[dim_of(x)] = slice(int(places[0]), int(places[-1]) + 1)
            return self.graph.call_function(operator.getitem, (source, tuple(cut)))
        index = self.buffer(f"{self._name(x)}_kept", torch.from_numpy(places).long())
        return self.graph.call_function(torch.index_select, (source, dim_of(x), index))

    def _spread(self, x: fx.Node, wanted: np.ndarray) -> fx.Node:
        """A constant value in full, as those want it that are no sums."""
        first = next(node for node in self.graph.nodes if node.op == "placeholder")
        if self._count is None:
            self._count = self.graph.call_method("size", (first, 0))
        sides = [int(wanted.sum()) if i == dim_of(x) else side for i, side in enumerate(shape(x))]
        zeros = self.graph.call_method("new_zeros", (first, (self._count, *sides[1:])))
        constant = self.made[x].constant
        assert constant is not None
        return self.graph.call_function(operator.add, (zeros, self.numbers(x, wanted))) if constant.any() else zeros


_BY_CHANNEL = ("channel_affine", "activation", "affine", "prelu", "identity", "global_pool")


def dim_of(x: fx.Node) -> int:
    """The side of a value that is its channels."""
    (dim,) = layout_of(x).channels
    return dim


def _sides_of_channels(x: fx.Node) -> bool:
    return len(layout_of(x).channels) != 1


def _read(network: nn.Module, node: fx.Node) -> Any:
    return call(network, node, lambda x: _read(network, x))
