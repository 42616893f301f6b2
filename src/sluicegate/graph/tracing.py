"""nn.Module -> fx graph whose nodes know their shapes, the same in training and in evaluation."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, fx, nn

from sluicegate.errors import InputError, one_line
from sluicegate.graph.evaluate import for_images, values_of, without_data
from sluicegate.graph.leaves import (
    Forwards,
    class_name,
    core_of,
    is_hooked,
    own_methods,
    standard_forwards,
    stays_whole,
)
from sluicegate.graph.modes import first_difference
from sluicegate.graph.nodes import note_constant
from sluicegate.graph.proxies import ShapedProxy

_DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d,
    F.alpha_dropout: nn.AlphaDropout,
    F.feature_alpha_dropout: nn.FeatureAlphaDropout,
}


class Spellings(NamedTuple):
    """What is known of classes beyond torch.nn, by their full names.

    Attributes:
        whole: classes whose modules are nodes.
        forwards: classes that are traced by another forward than their own.
        functions: functions that are nodes.
    """

    whole: frozenset[str] = frozenset()
    forwards: Forwards = MappingProxyType({})
    functions: tuple[Callable[..., Any], ...] = ()


NO_SPELLINGS = Spellings()


def trace(
    net: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    leaf_modules: Collection[type[nn.Module]] = (),
    spellings: Spellings = NO_SPELLINGS,
    in_both_modes: bool = True,
) -> fx.GraphModule:
    """Trace a network and note the shape of every value.

    The graph shares the modules of `net`. A module that cannot be traced, or whose graph depends on the training mode,
    stays whole; `meta["opaque"]` of its node says why.

    Args:
        net: the network; its modes are left as they are.
        example_inputs: what it is called with; only shapes and dtypes matter.
        leaf_modules: further classes that stay whole.
        spellings: what is known of classes beyond torch.nn.
        in_both_modes: check that training computes the same; not needed for our own parts.

    Raises:
        InputError: the network cannot be traced, or does not accept the example inputs.
    """
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    _refuse_empty(inputs)
    if is_hooked(net):
        raise InputError(
            f"net: {type(net).__name__} has a hook on the whole network, which a graph cannot have; remove it first"
        )
    with kept_modes(net) as modes:
        graph_module = _Tracing(net, inputs, tuple(leaf_modules), spellings).run(in_both_modes)
    for path, module in graph_module.named_modules():
        module.training = modes.get(path, net.training)
    return graph_module


@contextmanager
def kept_modes(net: nn.Module) -> Iterator[dict[str, bool]]:
    """Give every module back the mode, training or evaluation, that it had; they are handed out by path."""
    modes = {path: module.training for path, module in net.named_modules()}
    try:
        yield modes
    finally:
        for path, module in net.named_modules():
            module.training = modes.get(path, net.training)


class _Failure(Exception):
    """Tracing stopped inside the module at `path`."""

    def __init__(self, path: str, cause: Exception) -> None:
        super().__init__(one_line(cause))
        self.path = path


class _Unfit(Exception):
    """An op does not accept the values that it is given."""


class _Tracing:
    """Traces until the graph is the same in both modes; modules that prevent this become opaque."""

    def __init__(
        self, net: nn.Module, inputs: Sequence[Tensor], leaf_modules: tuple[type[nn.Module], ...], spellings: Spellings
    ) -> None:
        self.net, self.leaf_modules, self.spellings = net, leaf_modules, spellings
        try:
            self.bare = without_data(net)
        except Exception as error:  # a hook that computes a weight makes a tensor that cannot be copied
            raise cannot_be_copied(net, error) from error
        self.values = [for_images(x) for x in inputs]
        self.opaque: dict[str, str] = {}

    def run(self, in_both_modes: bool) -> fx.GraphModule:
        """The graph in evaluation."""
        for _ in range(len(list(self.net.modules())) + 1):
            try:
                evaluated = self._graph(training=False)
                trained = self._graph(training=True) if in_both_modes else evaluated
                different = None if trained is evaluated else first_difference(evaluated.graph, trained.graph)
            except _Failure as failure:
                self._hide(failure.path, str(failure))
                continue
            if different is None:
                return self._finished(evaluated)
            self._hide(different.path, f"its graph depends on the training mode, first at {different.what}")
        raise AssertionError("every module is opaque, yet tracing goes on")

    def _hide(self, path: str, why: str) -> None:
        if not path or path in self.opaque:
            raise InputError(f"net: {type(self.net).__name__} cannot be traced: {why}")
        self.opaque[path] = why

    def _graph(self, training: bool) -> "_Tracer":
        kept = [(buffer, buffer.clone()) for buffer in self.net.buffers()] if training else []
        self.net.train(training)
        tracer, at_first = _Tracer(self), set(vars(self.net))
        try:
            with standard_forwards(tracer.standard):
                tracer.trace(self.net)
        except _Unfit as error:
            shapes = ", ".join(str((1, *values[0].shape[1:])) for values in self.values)
            name = type(self.net).__name__
            raise InputError(f"example_inputs: {name} does not accept inputs of shape {shapes}: {error}") from error
        except Exception as error:  # the network's own code can raise anything on a proxy
            raise _Failure(tracer.failed or "", error) from error
        finally:
            self.net.eval()
            for buffer, before in kept:  # reading the weight of a parametrization changes its state
                buffer.detach().copy_(before)
            made = [name for name in vars(self.net) if name.startswith("_tensor_constant") and name not in at_first]
            tracer.constants = {name: vars(self.net).pop(name) for name in made}
        for node in tracer.graph.nodes:
            if node.op == "get_attr" and node.target in tracer.constants:
                node.meta["made"] = tracer.constants[node.target]
        return tracer

    def _finished(self, tracer: "_Tracer") -> fx.GraphModule:
        tracer.graph._tracer_cls = fx.Tracer  # which unpickling traces with
        vars(self.net).update(tracer.constants)
        graph_module = fx.GraphModule(self.net, tracer.graph, type(self.net).__name__)
        for path, cls in tracer.cores.items():
            graph_module.set_submodule(path, core_of(graph_module.get_submodule(path), cls))
        changed = False
        for node in list(graph_module.graph.nodes):
            changed |= _tidy(graph_module, node)
            if node.op == "call_module" and node.target in self.opaque:
                node.meta["opaque"] = self.opaque[node.target]
        for name in tracer.constants:
            graph_module._non_persistent_buffers_set.add(name)
            delattr(self.net, name)
        if changed:
            graph_module.recompile()
        return graph_module


class _Tracer(fx.Tracer):
    """fx's, with proxies that know their values' shapes."""

    proxy_buffer_attributes = True

    def __init__(self, tracing: _Tracing) -> None:
        super().__init__(autowrap_functions=tracing.spellings.functions)
        self._tracing = tracing
        self._inputs = iter(tracing.values)
        self._computing = False
        self.failed: str | None = None
        self.cores: dict[str, type[nn.Module]] = {}
        self.constants: dict[str, Tensor] = {}  # that the network's code makes

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ShapedProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = self._tracing
        named = class_name(m)
        if module_qualified_name in known.opaque or isinstance(m, known.leaf_modules):
            return True
        if named in known.spellings.whole and not own_methods(m):
            return True
        return stays_whole(m) and named not in known.spellings.forwards

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._computing:
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        known = self._tracing.spellings.forwards.get(class_name(m))
        if known and path not in self._tracing.opaque:
            forward = lambda *args, **kwargs: known(m, *args, **kwargs)  # noqa: E731
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or path
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def standard(self, module: nn.Module, cls: type[nn.Module], args: tuple[Any, ...]) -> Any:
        """The node of the standard module in a subclass."""
        path = self.path_of_module(module)
        self.cores[path] = cls
        self._tracing.bare.set_submodule(path, core_of(self._tracing.bare.get_submodule(path), cls))
        return self.create_proxy("call_module", path, args, {})

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Proxy:
        if target in _DROPOUTS:
            args, kwargs = _without_mode(self._tracing.net.training, *args, **kwargs)
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        note_constant(proxy.node)
        for read in proxy.node.all_input_nodes:
            if "values" not in read.meta:  # a tensor that the network's code makes, of which fx makes a constant
                read.meta["values"] = self._values(read)
        proxy.node.meta["values"] = self._values(proxy.node)
        return proxy

    def _values(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return next(self._inputs, (None, None))  # an input that has a default
        self._computing = True
        try:
            return values_of(self._tracing.bare, self._tracing.net, node)
        except Exception as error:
            raise _Unfit(one_line(error)) from error
        finally:
            self._computing = False


def _without_mode(mode: bool, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> tuple[Any, Any]:
    """A functional dropout's arguments, the same in both modes where it is active in training alone: it becomes a
    module, which follows the mode by itself."""
    return (x,), {"p": p, "training": training == mode, "inplace": inplace}


def _tidy(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Take away a `size` that nobody reads; make a module of a functional dropout, so that it follows the mode. Whether
    there was anything to do."""
    if node.op == "call_method" and node.target == "size" and not node.users:
        graph_module.graph.erase_node(node)
    elif node.op == "call_function" and node.target in _DROPOUTS:
        name = f"{node.name}_drop"
        dropout = _DROPOUTS[node.target](node.kwargs["p"], node.kwargs["inplace"])
        graph_module.add_submodule(name, dropout)
        node.op, node.target, node.kwargs = "call_module", name, {}
    else:
        return False
    return True


def _refuse_empty(inputs: Sequence[Tensor]) -> None:
    for x in inputs:
        if not isinstance(x, Tensor) or x.dim() < 1:
            raise InputError(f"example_inputs: {type(x).__name__} is not a tensor [N, ...]")


def cannot_be_copied(net: nn.Module, error: Exception) -> InputError:
    """Why a network cannot be copied, in its own words; else in those of the error."""
    computed = next(_computed_tensors(net), None)
    if computed is None:
        return InputError(f"net: {type(net).__name__} cannot be copied: {one_line(error)}")
    return InputError(
        f"net: a hook computes {computed!r} at each call; make the tensor permanent (prune.remove, remove_weight_norm, "
        "remove_spectral_norm), or use torch.nn.utils.parametrizations"
    )


def _computed_tensors(net: nn.Module) -> Iterator[str]:
    """Where a tensor is an attribute that something computed."""
    for path, module in net.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                yield f"{path}.{name}" if path else name
