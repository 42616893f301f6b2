"""A pruned network as two files: its tensors, and a description that says how to build it (`load_pruned.py` does)."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, fx, nn
from torch.fx.node import _get_qualified_name

from sluicegate.cutting.load_pruned import FORMAT, build
from sluicegate.errors import InputError, one_line
from sluicegate.files import whole_file, write_json
from sluicegate.graph import class_name, standard_type

_NOT_STORED = ("device", "dtype")
_TOLERANCE = 1e-5
"""Of the largest output."""


def save_pruned(
    net: fx.GraphModule, path: str | os.PathLike[str], example_inputs: Tensor, more: Mapping[str, Any] | None = None
) -> Path:
    """Write a pruned network so that it can be built where sluicegate is not installed.

    Args:
        net: what `prune` returned, perhaps trained on.
        path: of the tensors, `.safetensors`; the description is written beside it, with the ending `.json`.
        example_inputs: [n, C, H, W], with which the files are checked before they are written.
        more: to add to the description, such as classes, mean and std.

    Returns:
        The path of the tensors.

    Raises:
        InputError: the network holds what is no layer or op of torch, or what would be built computes something else.

    Example:
        >>> save_pruned(sg.prune(gated), "pruned.safetensors", torch.zeros(1, 3, 32, 32))
        >>> load_pruned("pruned.safetensors")  # load_pruned.py, which stands alone
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"path: {str(path)!r} must end in .safetensors")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in _tensors(net).items()}
    description = {"format": FORMAT, "input": list(example_inputs.shape[1:]), **(more or {}), **describe(net)}
    _check(net, description, tensors, example_inputs)
    write_json(path.with_suffix(".json"), description)
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors))
    return path


def describe(net: fx.GraphModule) -> dict[str, Any]:
    """A network of ordinary layers in words that JSON knows.

    Raises:
        InputError: it holds what is no layer or op of torch.
    """
    modules: dict[str, Any] = {}
    tensors: dict[str, str] = {}
    for node in net.graph.nodes:
        target = str(node.target)
        if node.op == "call_module":
            modules[target] = _layer(target, net.get_submodule(target))
        elif node.op == "get_attr":
            tensors[target] = "parameter" if isinstance(_attribute(net, target), nn.Parameter) else "buffer"
    return {"modules": modules, "tensors": tensors, "nodes": [_node(node) for node in net.graph.nodes]}


def _layer(path: str, layer: nn.Module) -> dict[str, Any]:
    """A layer's class, and what to call it with. What hands on its input in evaluation, as stochastic depth of
    torchvision and timm, is an identity."""
    cls = standard_type(layer)
    if cls is None and not list(layer.parameters()) and class_name(layer).endswith(("DropPath", "StochasticDepth")):
        return {"class": "Identity", "arguments": {}}
    if cls is None or getattr(nn, cls.__name__, None) is not cls:
        raise InputError(f"net: {path!r} is {class_name(layer)}, which is no layer of torch.nn")
    return {"class": cls.__name__, "arguments": _arguments(layer, cls)}


def _arguments(layer: nn.Module, cls: type[nn.Module]) -> dict[str, Any]:
    """torch's layers keep what they are called with under the same names; of a bias whether there is one."""
    found = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if name in _NOT_STORED or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if hasattr(layer, name):
            value = getattr(layer, name)
            found[name] = (value is not None) if name == "bias" else value
    return found


def _node(node: fx.Node) -> dict[str, Any]:
    target = node.target if isinstance(node.target, str) else _name(node)
    args, kwargs = [_said(arg) for arg in node.args], {key: _said(arg) for key, arg in node.kwargs.items()}
    return {"name": node.name, "op": node.op, "target": target, "args": {"tuple": args}, "kwargs": {"dict": kwargs}}


def _name(node: fx.Node) -> str:
    name = _get_qualified_name(node.target)  # type: ignore[arg-type]
    return name.replace("_operator.", "operator.").replace("torch._C._nn.", "torch.nn.functional.")


def _said(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, slice):
        return {"slice": [_said(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, tuple):
        return {"tuple": [_said(part) for part in value]}
    if isinstance(value, list):
        return [_said(part) for part in value]
    if isinstance(value, Mapping):
        return {"dict": {key: _said(part) for key, part in value.items()}}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is ...:
        return {"ellipsis": True}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InputError(f"net: an argument {value!r} cannot be described")


def _tensors(net: fx.GraphModule) -> dict[str, Tensor]:
    """The state, and constants that are no part of it."""
    read = {str(node.target) for node in net.graph.nodes if node.op == "get_attr"}
    return {**{name: _attribute(net, name) for name in sorted(read)}, **net.state_dict()}


def _attribute(net: nn.Module, path: str) -> Tensor:
    above, _, name = path.rpartition(".")
    return getattr(net.get_submodule(above), name)


def _check(net: nn.Module, description: dict[str, Any], tensors: dict[str, Tensor], example: Tensor) -> None:
    """Build it, and compare."""
    images = torch.randn((2, *example.shape[1:]), generator=torch.Generator().manual_seed(0)).to(example.dtype)
    like = next(net.parameters())
    try:
        with torch.no_grad():
            built, expected = build(description, tensors)(images), net(images.to(like.device)).cpu()
            gap = float((built - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
    except Exception as error:  # whatever torch says of a layer that the description got wrong
        raise InputError(f"net: it cannot be built from its description: {one_line(error)}") from error
    if not gap <= _TOLERANCE:
        raise InputError(f"net: built from its description it would be {gap:.2e} off; nothing is written")
