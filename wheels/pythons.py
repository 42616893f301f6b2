"""The Pythons of this machine that sluicegate supports."""

import os
import subprocess

NAMES = "python3.10 python3.11 python3.12 python3.13"
ASK = "import sys; print(sys.executable, *sys.version_info[:2])"


def pythons() -> dict[tuple[int, int], str]:
    """Version -> interpreter, of the commands in $PYTHONS (or `NAMES`) that start."""
    found = {}
    for name in os.environ.get("PYTHONS", NAMES).split():
        try:
            done = subprocess.run([name, "-c", ASK], capture_output=True, text=True)
        except FileNotFoundError:
            done = None
        if done is None or done.returncode:
            print(f"{name}: not on this machine", flush=True)
            continue
        path, major, minor = done.stdout.rsplit(maxsplit=2)
        found[int(major), int(minor)] = path
    return dict(sorted(found.items()))
