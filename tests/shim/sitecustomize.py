"""Lets processes that a test starts import torchvision beside a CPU build of torch.

With this folder on PYTHONPATH Python imports this module at its start. torchmetrics imports torchvision where it is
installed, and torchvision registers shape rules for operators of its binary part. Where that part does not load, their
schemas must be there beforehand (`tests/conftest.py` sees to it in the tests themselves).
"""

import importlib
import importlib.util

import torch

if importlib.util.find_spec("torchvision"):
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
