"""Network -> `.sluice` file."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from sluicegate.lowering.lower import lower
from sluicegate.lowering.verify import verify_lowered
from sluicegate_runtime import Preprocessing, save_program


def check_exportable(net: nn.Module, example_inputs: Tensor | None = None) -> None:
    """Check, before training, that a network can be exported. Nothing is run or written.

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
        net: a gated network, or a plain one with `example_inputs`. It is exported in evaluation mode.
        path: the file. It is written under a temporary name and renamed, so it is complete or absent.
        example_inputs: [n, C, H, W]; needed to trace a plain network, and used to check the program. None: random
            images are used for the check.
        preprocessing: how to turn an image into the input; stored in the file. Without it `predict` refuses the file.
        classes: names of the outputs; stored in the file.
        verify: first compare the program with the network, with gates as they decide, all open, half closed and all
            closed.

    Raises:
        InputError: the engine has no op for a part of the network; or `verify` found a difference: the line names the
            first op that differs, and nothing is written.

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
