"""Gated network -> `.sluice` file."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from sluicegate.export.lower import lower
from sluicegate_runtime import Preprocessing
from sluicegate_runtime import save as save_artifact


def export(
    net: nn.Module,
    path: str | os.PathLike[str],
    example_inputs: Tensor | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
) -> Path:
    """Write a network as a file that `sluicegate_runtime.Session` runs, without torch.

    Args:
        net: a gated network, or a plain one with `example_inputs`; exported as it is in evaluation.
        path: the file; written beside its place and renamed, so it is whole or not there.
        example_inputs: [1, C, H, W], for a plain network.
        preprocessing: from an image to the input; travels in the file.
        classes: names of the outputs; travel in the file.

    Raises:
        InputError: the engine has no op for a part of the network.
    """
    save_artifact(path, *lower(net, example_inputs, preprocessing, classes))
    return Path(path)
