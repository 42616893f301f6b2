"""What tests of the PyTorch side stand on: one thread a worker, a torchvision that imports."""

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import library


def set_up() -> None:
    """Make torch fit for tests; once a process."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)  # workers that each took every core would only wait for one another
    _import_torchvision()


def _import_torchvision() -> None:
    """Import torchvision even where its binary operators do not load, as beside a CPU build of torch.

    At import it registers shape rules for two of these operators, so their schemas must exist. No network
    calls them. The Makefile installs it and timm into a folder of their own, out of sight of everything but tests.
    """
    sys.path.append(str(Path(sys.prefix) / "vision"))
    if find_spec("torchvision") is None:
        return  # the tests that want it skip themselves
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for operator in ("nms", "qnms"):
            library.define(f"torchvision::{operator}", schema)
        importlib.import_module("torchvision")
