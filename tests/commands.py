"""Starts the command line in a process of its own, as a user does."""

import os
import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).parent


def command(*arguments: str) -> list[str]:
    """The command line of `sluicegate ARGUMENTS`."""
    return [sys.executable, "-m", "sluicegate", *arguments]


def environment() -> dict[str, str]:
    """One thread a process, the source tree first, and `shim/` for torchvision's sake."""
    path = [str(_TESTS.parent / "src"), str(_TESTS / "shim"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}


def sluicegate(*arguments: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in `cwd` and see that it exits with `status`."""
    done = subprocess.run(command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def only_line(text: str) -> str:
    """The text, which is one line."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]
