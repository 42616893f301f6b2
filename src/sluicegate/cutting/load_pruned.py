"""Builds a pruned network from its two files. It needs PyTorch and safetensors, and nothing of sluicegate: copy it.

    from load_pruned import load_pruned

    net = load_pruned("pruned.safetensors")  # reads pruned.json beside it, too
    logits = net(images)  # [N, C, H, W], normalised by the mean and std that pruned.json names

The description names layers of `torch.nn`, tensor ops of `torch`, methods of tensors and Python's operators; whatever
else it names is refused, so a description from elsewhere runs no foreign code.
"""

import json
import operator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

FORMAT = 1
_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "matmul", "getitem")


def load_pruned(weights: str | Path) -> nn.Module:
    """A pruned network, in evaluation.

    Args:
        weights: the safetensors file; its description lies beside it, with the ending `.json`.

    Raises:
        ValueError: the description is of another format, or names what is neither a layer nor an op of torch.
    """
    description = json.loads(Path(weights).with_suffix(".json").read_text(encoding="utf-8"))
    return build(description, safetensors.torch.load_file(weights))


def build(description: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """The same, from what the files hold."""
    if description.get("format") != FORMAT:
        raise ValueError(f"description: format {description.get('format')} is not {FORMAT}")
    root = nn.Module()
    for path, layer in description["modules"].items():
        _put(root, path, _layer_class(layer["class"])(**layer["arguments"]))
    for path, kind in description["tensors"].items():
        tensor = tensors[path]
        _put(root, path, nn.Parameter(tensor) if kind == "parameter" else tensor)
    net = fx.GraphModule(root, _graph(description["nodes"]))
    net.load_state_dict(tensors, strict=True)
    return net.eval()


def _put(root: nn.Module, path: str, value: nn.Module | Tensor) -> None:
    """Put a layer, a parameter or a buffer where its path says."""
    *above, name = path.split(".")
    for part in above:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    if isinstance(value, (nn.Module, nn.Parameter)):
        setattr(root, name, value)
    else:
        root.register_buffer(name, value)


def _graph(rows: list[dict[str, Any]]) -> fx.Graph:
    graph, made = fx.Graph(), {}
    for row in rows:
        args, kwargs = _value(row["args"], made), _value(row["kwargs"], made)
        target = row["target"]
        if row["op"] == "call_function":
            target = _function(target, args)
        elif row["op"] == "call_method" and (target.startswith("_") or not hasattr(Tensor, target)):
            raise ValueError(f"description: {target!r} is no method of tensors")
        made[row["name"]] = graph.create_node(row["op"], target, args, kwargs, row["name"])
    return graph


def _value(value: Any, made: dict[str, fx.Node]) -> Any:
    """An argument: plain JSON, or {"node": name}, {"slice": [..]}, {"tuple": [..]}, {"dict": {..}}, {"dtype": name}."""
    if isinstance(value, list):
        return [_value(part, made) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "node":
            return made[inner]
        case "slice":
            return slice(*_value(inner, made))
        case "tuple":
            return tuple(_value(inner, made))
        case "dict":
            return {key: _value(part, made) for key, part in inner.items()}
        case "dtype":
            return getattr(torch, inner)
    if kind == "ellipsis":
        return ...
    raise ValueError(f"description: an argument of the kind {kind!r} is not known")


def _layer_class(name: str) -> type[nn.Module]:
    cls = getattr(nn, name, None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"description: {name!r} is no layer of torch.nn")
    return cls


def _function(name: str, args: tuple[Any, ...]) -> Any:
    """A function of values by its full name: operator.add, torch.cat, torch.nn.functional.pad."""
    module, _, short = name.rpartition(".")
    first = args[0] if args else None
    of_values = isinstance(first[0] if isinstance(first, list | tuple) and first else first, fx.Node)
    if of_values and not short.startswith("_"):
        if module == "operator" and short in _OPERATORS:
            return getattr(operator, short)
        if module == "torch.nn.functional" and hasattr(F, short):
            return getattr(F, short)
        if module == "torch" and hasattr(torch.ops.aten, short) and hasattr(torch, short):
            return getattr(torch, short)
    raise ValueError(f"description: {name!r} is no op of torch on values")
