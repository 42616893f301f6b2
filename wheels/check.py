"""Install dist/'s wheels into an empty environment of each Python of this machine, and use them there.

    make check-wheels [PYTHONS="python3.11 python3.12"]

An environment gets the wheel, NumPy and pytest, and no torch. There `sluicegate predict` answers for an image, and
`pytest tests/runtime` passes. The source tree is out of sight, so what runs is what the wheel holds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pythons import pythons

ROOT = Path(__file__).parents[1]
NEEDED = ("tests", "csrc", "docs", "pyproject.toml")  # what the tests read beside the package
MODEL = """
import sys
sys.path.insert(0, "tests")
import numpy as np
from conformance.builder import Builder
from dataclasses import replace
from sluicegate_runtime import Preprocessing, save_program

b = Builder(np.random.default_rng(0))
x = b.value((3, 8, 8))
y = b.conv(x, 8, gate=b.gate(x, 8, "random", top_k=0), activation="relu")
program = b.program(x, b.linear(b.pooled(y), 2))
how = Preprocessing(resize=8, crop=8, mean=(0.5,) * 3, std=(0.5,) * 3)
program = replace(program, preprocessing=how, classes=("cat", "dog"))
save_program("net.sluice", program, b.tensors)
np.save("image.npy", np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8))
"""


def main() -> None:
    found = pythons()
    if not found:
        sys.exit("check-wheels: none of the Pythons is on this machine; name them in PYTHONS")
    for version, interpreter in found.items():
        print(f"\nPython {version[0]}.{version[1]}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            check(interpreter, Path(folder))


def check(interpreter: str, folder: Path) -> None:
    """Everything for one Python, in an empty folder."""
    run(interpreter, "-m", "venv", folder / "env")
    python = folder / "env/bin/python"
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "numpy", "pytest")
    run(*install, "--no-index", "--no-deps", "--find-links", ROOT / "dist", "--only-binary", ":all:", "sluicegate")
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    run(python, "-m", "pip", "list", "--format", "freeze", cwd=folder)
    run(python, "-c", MODEL, cwd=folder)
    run(folder / "env/bin/sluicegate", "predict", "net.sluice", "image.npy", cwd=folder)
    run(python, "-m", "pytest", "-q", "-rf", "-m", "not slow", "tests/runtime", cwd=folder)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command to its end; nothing of the caller's Python path reaches it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*map(str, command)], cwd=cwd, env=kept, check=True)


if __name__ == "__main__":
    main()
