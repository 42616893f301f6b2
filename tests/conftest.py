"""What every test stands on: one thread a worker, a torchvision that imports, real images where they lie."""

import importlib
import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest
import torch

# A loaded machine is slow, which is no fault of the code under test.
hypothesis.settings.register_profile("sluicegate", deadline=None)
hypothesis.settings.load_profile("sluicegate")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # workers that each took every core would only wait for one another


def _import_torchvision() -> None:
    """Import torchvision even where its binary operators do not load, as beside a CPU build of torch.

    At import it registers shape rules for two of these operators, so their schemas must exist. No network
    calls them.
    """
    if importlib.util.find_spec("torchvision") is None:
        return  # the tests that want it skip themselves
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", schema)
        importlib.import_module("torchvision")


_import_torchvision()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets, `$SLUICEGATE_DATA`; the test is skipped where there is none."""
    root = os.environ.get("SLUICEGATE_DATA")
    if not root:
        pytest.skip("SLUICEGATE_DATA is not set: no real images here")
    if not Path(root).is_dir():
        pytest.skip(f"SLUICEGATE_DATA: {root!r} is not a folder")
    return Path(root)
