"""torchvision's networks, for benchmarks that want one."""

import importlib
import sys
from pathlib import Path

from torch import library


def import_torchvision() -> None:
    """As the tests do: from the Makefile's folder, even where its binary operators do not fit a CPU build of torch.

    At import it registers shape rules for two of them, so their schemas must exist.
    """
    sys.path.append(str(Path(sys.prefix) / "vision"))
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("torchvision::nms", "torchvision::qnms"):
            library.define(name, schema)
        importlib.import_module("torchvision")
