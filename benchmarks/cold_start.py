"""How soon is the first answer there? Import, load and first run in a fresh process, against ONNX Runtime.

    python benchmarks/cold_start.py [--json results/cold_start.json] [--net torchvision:resnet34] [--rounds 15]

Both run the same dense network on one image. Processes take turns, and a first round, which brings the files into
memory, is not counted. "process" is the whole of it, from starting Python to its exit. Needs onnx, onnxscript and
onnxruntime, and torchvision for its nets.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from vision import import_torchvision

from sluicegate.analysis.peers import to_onnx
from sluicegate.files import write_json
from sluicegate.lowering import export
from sluicegate.nets import build_net
from sluicegate.train import provenance

STEPS = ("import", "load", "first run")

# What is timed: `path`, `threads`, `size` and `mark(step)` are there.
OURS = """
import numpy
from sluicegate_runtime import Session
mark("import")
session = Session(path, threads=threads)
mark("load")
session.run(numpy.zeros((1, 3, size, size), numpy.float32))
mark("first run")
"""
ONNX_RUNTIME = """
import numpy, onnxruntime
mark("import")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
mark("load")
session.run(None, {session.get_inputs()[0].name: numpy.zeros((1, 3, size, size), numpy.float32)})
mark("first run")
"""
AROUND = """
import time
path, threads, size = {arguments}
marks, taken = [time.perf_counter()], {{}}
def mark(step):
    marks.append(time.perf_counter())
    taken[step] = marks[-1] - marks[-2]
{timed}
import json
print(json.dumps(taken))
"""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        programs = _programs(options, Path(folder))
        rounds = [{name: _launch(program) for name, program in programs.items()} for _ in range(options.rounds + 1)]
    rows = [_row(name, [one[name] for one in rounds[1:]]) for name in programs]
    _print(rows, options)
    if options.json:
        came_from = provenance.provenance()
        came_from["versions"]["onnxruntime"] = version("onnxruntime")
        settings = {key: getattr(options, key) for key in ("net", "size", "threads", "rounds")}
        write_json(options.json, {"question": "time to the first answer", **settings, "rows": rows, **came_from})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="torchvision:resnet34")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="counted launches of each")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    options.size = 224 if ":" in options.net else 32
    return options


def _programs(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """The code of each contender's process; the network's files come to lie in `folder`."""
    if options.net.startswith("torchvision:"):
        import_torchvision()
    torch.manual_seed(0)
    net, example = build_net(options.net).eval(), torch.zeros(1, 3, options.size, options.size)
    ours, onnx = export(net, folder / "net.sluice", example), folder / "net.onnx"
    onnx.write_bytes(to_onnx(net, example))
    contenders = {"sluicegate_runtime": (ours, OURS), "ONNX Runtime": (onnx, ONNX_RUNTIME)}
    return {
        name: AROUND.format(arguments=repr((str(path), options.threads, options.size)), timed=timed)
        for name, (path, timed) in contenders.items()
    }


def _launch(program: str) -> dict[str, float]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout), "process": time.perf_counter() - started}


def _row(name: str, launches: list[dict[str, float]]) -> dict[str, Any]:
    medians = {step: 1e3 * statistics.median(one[step] for one in launches) for step in (*STEPS, "process")}
    together = 1e3 * statistics.median(sum(one[step] for step in STEPS) for one in launches)
    return {"name": name, "milliseconds": medians | {"together": together}}


def _print(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    columns = (*STEPS, "together", "process")
    title = f"{options.net}, milliseconds, medians of {options.rounds}"
    table = Table("", *columns, title=title)
    for row in rows:
        table.add_row(row["name"], *(f"{row['milliseconds'][c]:.0f}" for c in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
