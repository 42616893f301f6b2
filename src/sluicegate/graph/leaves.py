"""Which modules stay whole while a network is traced, and how subclasses of standard modules are traced.

A module of torch.nn is a node of the graph. So is a subclass that only changes how it is built. A subclass with its own
`forward` is traced. Its call of `super().forward(x)` becomes a node of the standard module, with the same name; the
rest of its `forward` becomes other nodes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

Forward = Callable[..., Any]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HARMLESS = {"__init__", "__repr__", "extra_repr", "reset_parameters", "__deepcopy__", "__getstate__", "__setstate__"}
_HARMLESS |= {"__module__", "__doc__", "__annotations__", "__constants__", "__qualname__", "_load_from_state_dict"}
_HARMLESS |= {"_check_input_dim"}  # of a batch norm: it raises, or does nothing
_INHERITED_FORWARDS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose2d,
    nn.Linear,
    _BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
)


def standard_type(module: nn.Module) -> type[nn.Module] | None:
    """The class of torch.nn whose behaviour a module has; None if a subclass, or a hook, changes it."""
    cls = _closest_standard(module)
    return cls if cls and not _changes(module, cls) and not is_hooked(module) else None


def class_name(module: nn.Module) -> str:
    """The full name of a module's class."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def own_methods(module: nn.Module) -> set[str]:
    """The methods of its class that were replaced in one module alone: `module.forward = ...`."""
    return {name for name, value in vars(module).items() if callable(value) and hasattr(type(module), name)}


def is_hooked(module: nn.Module) -> bool:
    """Whether a module has hooks, which may change its calls."""
    return any(getattr(module, hooks, None) for hooks in _HOOKS)


def stays_whole(module: nn.Module) -> bool:
    """Whether a module is a node by itself, as those of torch.nn are."""
    cls = _closest_standard(module)
    if cls is None or cls in _CONTAINERS or cls is nn.Module:
        return False
    return not _changes(module, cls)


@contextmanager
def standard_forwards(emit: Callable[[nn.Module, type[nn.Module], tuple[Any, ...]], Any]) -> Iterator[None]:
    """While a network is traced, let `super().forward(x)` be emit(module, standard class, (x,))."""
    with ExitStack() as patches:
        for cls in _INHERITED_FORWARDS:
            patches.enter_context(mock.patch.object(cls, "forward", _emitting(cls.forward, emit)))
        yield


def core_of(module: nn.Module, cls: type[nn.Module]) -> nn.Module:
    """The standard module in a subclass: same parameters, buffers and children, the standard forward."""
    core = cls.__new__(cls)
    own = own_methods(module)
    core.__dict__.update({name: value for name, value in vars(module).items() if name not in own})
    return core


def _emitting(forward: Forward, emit: Callable[..., Any]) -> Forward:
    @wraps(forward)  # fx asks for the arguments' names where the network itself is such a module
    def replaced(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        cls = _closest_standard(self)
        traced = any(isinstance(arg, fx.Proxy) for arg in args) and not kwargs
        if traced and cls and not is_hooked(self) and _changes(self, cls) == {"forward"}:
            return emit(self, cls, args)
        return forward(self, *args, **kwargs)

    return replaced


def _closest_standard(module: nn.Module) -> type[nn.Module] | None:
    return next((cls for cls in type(module).__mro__ if cls.__module__.startswith("torch.nn.modules")), None)


def _changes(module: nn.Module, standard: type) -> set[str]:
    """The methods of a standard class that a module's class, or the module itself, has replaced."""
    cls = type(module)
    between = cls.__mro__[: cls.__mro__.index(standard)]
    by_class = {name for part in between for name in vars(part)} - _HARMLESS
    return {name for name in by_class if hasattr(standard, name)} | own_methods(module)


Forwards = Mapping[str, Forward]
"""Full name of a class -> the forward with which it is traced in place of its own."""
