"""Weights and checkpoints as files.

Weights are safetensors, or a state dict saved by torch (`.pt`, `.pth`, `.bin`, `.ckpt`), directly or under
"state_dict", "model" or "model_state_dict". Names may have the prefix "module." (data parallel).
"""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor, nn

from sluicegate.errors import InputError, RunError, one_line
from sluicegate.files import whole_file
from sluicegate.nets import CifarResNet, PSPNet, backbone_weights, common_names


def save_weights(net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a network's state as safetensors."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors))


def load_weights(net: nn.Module, path: str | os.PathLike[str], surplus: bool = False) -> None:
    """Fill a network from a file of weights, which may hold a surplus of tensors only if that is allowed.

    Raises:
        InputError: the file is missing, holds no weights, or holds another network's.
    """
    state = read_weights(path)
    if isinstance(net, CifarResNet):
        state = common_names(state)
    if isinstance(net, PSPNet):
        state = backbone_weights(state, net)
    known = net.state_dict().keys()
    load_state(net, {name: t for name, t in state.items() if name in known or not surplus}, source=str(path))


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors in a file of weights (see the file's head), on the CPU; no code in it is run.

    Raises:
        InputError: the file is missing, or holds no weights.
    """
    if Path(path).suffix in _PICKLED:
        return _bare(_unpickled(path), path)
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"weights: {str(path)!r} cannot be read as safetensors: {one_line(error)}") from error


_PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".tar")
_WRAPPINGS = ("state_dict", "model_state_dict", "model")


def _unpickled(path: str | os.PathLike[str]) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler stumbled over
        why = one_line(error).partition(". ")[0]  # torch goes on with advice of a page
        raise InputError(f"weights: {str(path)!r} cannot be read as a state dict: {why}") from error


def _bare(found: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """A state dict out of what may be wrapped around it."""
    while isinstance(found, Mapping) and (inner := next((key for key in _WRAPPINGS if key in found), None)):
        found = found[inner]
    state = {str(k): v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not state:
        raise InputError(f"weights: {str(path)!r} holds no state dict, but {type(found).__name__}")
    behind = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if behind else name: tensor for name, tensor in state.items()}


def load_state(net: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Fill a network from a state dict; names and shapes must agree, except that old batch norms counted no batches.

    Raises:
        InputError: they do not; the first that differs is named.
    """
    if difference := _first_difference(net.state_dict(), state):
        raise InputError(f"weights: {source!r} does not fit the network: {difference}")
    net.load_state_dict(state, strict=False)


def _first_difference(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    for name, tensor in own.items():
        if name not in given:
            if name.endswith("num_batches_tracked"):
                continue
            return f"it lacks {name!r}"
        if given[name].shape != tensor.shape:
            return f"{name!r} has shape {list(given[name].shape)}, the network {list(tensor.shape)}"
    return next((f"the network has no {name!r}" for name in given if name not in own), None)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A checkpoint's content, on the CPU; only tensors and plain values are read, no code.

    Raises:
        RunError: the file is missing, truncated or no checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler stumbled over
        raise RunError(
            f"checkpoint: {str(path)!r} cannot be read, it is missing or damaged: {one_line(error)}"
        ) from error


class WholeCheckpoints(CheckpointIO):
    """How Lightning reads and writes checkpoints here: whole files, and one line where one is damaged."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        written = io.BytesIO()  # torch's own writer gives no useful error if a disk is full
        torch.save(checkpoint, written)
        with whole_file(path) as part:
            part.write_bytes(written.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
