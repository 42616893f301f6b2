"""Where a number comes from: machine, versions, command."""

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

_PACKAGES = ("sluicegate", "torch", "lightning", "numpy")


def provenance() -> dict[str, Any]:
    """All of it, to stand in a result."""
    return {"machine": machine(), "versions": versions(), "command": command()}


def is_first_process() -> bool:
    """Whether this process prints and writes for all processes of a training (Lightning's rank zero)."""
    return getattr(rank_zero_only, "rank", 0) == 0


def machine() -> dict[str, str | int | None]:
    """The processor, its cores open to this process, and the GPU if there is one."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def command() -> str:
    """The command line of this process."""
    program = Path(sys.argv[0]).name
    return shlex.join(["sluicegate" if program == "__main__.py" else program, *sys.argv[1:]])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"  # run from a source tree


def _cpu_name() -> str:
    """The first core's name; of an x86 with its family and model, since one name may stand for several generations."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    said = dict(reversed(pairs))  # the first core's word counts
    if "model name" not in said:
        return platform.processor()
    numbers = [f"{what} {said[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if key in said]
    return ", ".join([said["model name"], *numbers])
