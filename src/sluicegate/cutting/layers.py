"""Ordinary layers with some of their channels.

Legend: C channels, O output channels, I input channels of a group.
"""

import copy
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Layer = TypeVar("Layer", bound=nn.Conv1d | nn.Conv2d | nn.Linear)


class Groups(NamedTuple):
    """What is left of a convolution: input and output channels group by group, as many in each of `groups`."""

    inputs: np.ndarray
    outputs: np.ndarray
    groups: int


def groups_left(read: np.ndarray, made: np.ndarray, groups: int) -> Groups:
    """The channels to keep of a convolution that reads `read` [I] bool and makes `made` [O] bool.

    A group without outputs goes. Of the others each keeps as many channels as the largest, since torch knows no groups
    of several sizes: they are filled up with channels that are not needed.
    """
    sides = zip(_cut(read, groups), _cut(made, groups), strict=True)
    by_group = [(np.flatnonzero(ins), np.flatnonzero(outs)) for ins, outs in sides]
    left = [i for i, (_, outs) in enumerate(by_group) if len(outs)]
    sizes = [max(1, max(len(by_group[i][side]) for i in left)) for side in (0, 1)]
    inputs = [_filled(read, groups, i, sizes[0]) for i in left]
    outputs = [_filled(made, groups, i, sizes[1]) for i in left]
    return Groups(np.concatenate(inputs), np.concatenate(outputs), len(left))


def _cut(flags: np.ndarray, groups: int) -> np.ndarray:
    return flags.reshape(groups, -1)


def _filled(flags: np.ndarray, groups: int, group: int, size: int) -> np.ndarray:
    """Channels of one group, those that are needed first, in order."""
    mine = _cut(flags, groups)[group]
    chosen = np.sort(np.argsort(~mine, kind="stable")[:size])
    return chosen + group * len(mine)


def with_inputs(layer: Layer, numbers: Tensor | None) -> Layer:
    """The layer with what it makes of these inputs [I] in its bias; the same layer, if they are None.

    bias' = bias + W numbers,   W [O, I] the sum of the weights over a window
    """
    if numbers is None:
        return layer
    made = copy.deepcopy(layer)
    added = layer.weight.detach().flatten(2).sum(2) if layer.weight.dim() > 2 else layer.weight.detach()
    before = 0 if layer.bias is None else layer.bias.detach()
    made.bias = nn.Parameter(before + added @ numbers.to(added), layer.weight.requires_grad)
    return made


def sliced_conv(layer: nn.Conv1d | nn.Conv2d, left: Groups) -> nn.Module:
    """A convolution of the channels that are left."""
    per_group = layer.in_channels // layer.groups
    rows = layer.weight.detach()[torch.from_numpy(left.outputs)]  # [O, I, ...]
    columns = torch.from_numpy(left.inputs % per_group).reshape(left.groups, -1)
    columns = columns.repeat_interleave(len(left.outputs) // left.groups, 0)  # [O, I]
    made = _copied(layer, in_channels=len(left.inputs), out_channels=len(left.outputs), groups=left.groups)
    _set(made, "weight", torch.stack([row[chosen] for row, chosen in zip(rows, columns, strict=True)]))
    _set_rows(made, ("bias",), left.outputs)
    return made


def sliced_linear(layer: nn.Linear, read: np.ndarray, made: np.ndarray) -> nn.Module:
    """A linear layer from `read` [I] to `made` [O], both bool."""
    found = _copied(layer, in_features=int(read.sum()), out_features=int(made.sum()))
    _set(found, "weight", layer.weight.detach()[torch.from_numpy(made)][:, torch.from_numpy(read)])
    _set_rows(found, ("bias",), np.flatnonzero(made))
    return found


def sliced_norm(layer: _BatchNorm, kept: np.ndarray) -> nn.Module:
    """A batch norm of some channels."""
    made = _copied(layer, num_features=int(kept.sum()))
    _set_rows(made, ("weight", "bias", "running_mean", "running_var"), np.flatnonzero(kept))
    return made


def sliced_group_norm(layer: nn.GroupNorm, kept: np.ndarray) -> nn.Module:
    """A group norm of some whole groups."""
    groups = int(kept.reshape(layer.num_groups, -1)[:, 0].sum())
    made = _copied(layer, num_channels=int(kept.sum()), num_groups=groups)
    _set_rows(made, ("weight", "bias"), np.flatnonzero(kept))
    return made


def sliced_prelu(layer: nn.PReLU, kept: np.ndarray) -> nn.Module:
    """A parametric ReLU of some channels."""
    made = _copied(layer, num_parameters=int(kept.sum()))
    _set_rows(made, ("weight",), np.flatnonzero(kept))
    return made


def _copied(layer: nn.Module, **sizes: int) -> nn.Module:
    made = copy.deepcopy(layer)
    for name, size in sizes.items():
        setattr(made, name, size)
    return made


def _set_rows(layer: nn.Module, names: tuple[str, ...], rows: np.ndarray) -> None:
    for name in names:
        if (tensor := getattr(layer, name, None)) is not None:
            _set(layer, name, tensor.detach()[torch.from_numpy(rows)])


def _set(layer: nn.Module, name: str, value: Tensor) -> None:
    before, value = getattr(layer, name), value.clone()
    trained = isinstance(before, nn.Parameter)
    setattr(layer, name, nn.Parameter(value, before.requires_grad) if trained else value)
