"""How fast is each kernel by itself? One call on one core, for every instruction set that this machine runs.

    python benchmarks/kernels.py [--json results/kernels.json] [--build build]

A kernel that multiplies is told in GFLOP/s, one that moves in GB/s, each operand counted once. Rows, sizes and the
timing stand in csrc/kernels/benchmark.cpp, a program that is built along with the engine, in the folder `build`.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluicegate.errors import InputError
from sluicegate.files import write_json
from sluicegate.train import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"), help="where the engine was built")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    printed = subprocess.run([_newest(options.build)], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    _print(rows)
    if options.json:
        write_json(options.json, {"question": "speed of each kernel alone", "rows": rows, **provenance.provenance()})


def _newest(build: Path) -> Path:
    found = sorted(build.rglob("kernel_benchmark"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"build: {str(build)!r} holds no kernel_benchmark; `pip install .` builds it")
    return found[-1]


def _print(rows: list[dict[str, Any]]) -> None:
    isas, kernels = (list(dict.fromkeys(row[key] for row in rows)) for key in ("isa", "kernel"))
    speed = {(row["kernel"], row["isa"]): row["gflops"] or row["gigabytes"] for row in rows}
    unit = {row["kernel"]: "GFLOP/s" if row["gflops"] else "GB/s" for row in rows}
    table = Table("", "", *isas, title="one core")
    for kernel in kernels:
        table.add_row(kernel, unit[kernel], *(f"{speed[kernel, isa]:.1f}" for isa in isas))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
