"""Network -> `.sluice` file."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from sluicegate.lowering.lower import lower
from sluicegate.lowering.verify import verify_lowered
from sluicegate_runtime import Preprocessing, save_program


def check_exportable(net: nn.Module, example_inputs: Tensor | None = None) -> None:
    """Ask, before a network is trained, whether it can be exported; nothing is run or written.

    Args:
        net: a gated network, or a plain one with `example_inputs`.
        example_inputs: [n, C, H, W], for a plain network to be traced.

    Raises:
        InputError: the engine has no op for a part of the network; the line names the module and what it does.

    Example:
        >>> gated = sg.gate_model(net, sg.ChannelGating(), torch.zeros(1, 3, 224, 224))
        >>> sg.check_exportable(gated)
    """
    lower(net, example_inputs)


def export(
    net: nn.Module,
    path: str | os.PathLike[str],
    example_inputs: Tensor | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    verify: bool = True,
) -> Path:
    """Write a network as a file that `sluicegate_runtime.Session` runs, without torch.

    Args:
        net: a gated network, or a plain one with `example_inputs`; exported as it is in evaluation.
        path: the file; written beside its place and renamed, so it is whole or not there.
        example_inputs: [n, C, H, W]: for a plain network to be traced, and to check the program with; random images
            where there are none.
        preprocessing: from an image to the input; travels in the file. Without it `predict` refuses the file.
        classes: names of the outputs; travel in the file.
        verify: run the program beside the network first, gates as they decide, all open, half and all closed.

    Raises:
        InputError: the engine has no op for a part of the network, or, by `verify`, computes something else: the line
            names the first op that differs, and nothing is written.

    Example:
        >>> gated = sg.gate_model(net, sg.ChannelGating(), torch.zeros(1, 3, 224, 224))
        >>> sg.export(gated, "net.sluice")
        >>> sluicegate_runtime.Session("net.sluice").run(images).output
    """
    lowered = lower(net, example_inputs, preprocessing, classes)
    if verify:
        verify_lowered(net, lowered, example_inputs)
    save_program(path, lowered.program, lowered.artifact.tensors)
    return Path(path)
