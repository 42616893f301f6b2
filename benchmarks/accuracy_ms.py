"""Accuracy against milliseconds: trained networks as they came, in each engine, and with their gates.

    python benchmarks/accuracy_ms.py NET --weights FILE [--gated RUN ...] [--thresholds 0.3] --json FILE
    python benchmarks/accuracy_ms.py --draw docs/accuracy-ms.png --json FILE ...

FILE holds the weights of the plain network, which peers get: in float32, and in int8 calibrated on 64 training images.
Each RUN is a run, or a released network, that began with these weights; it is measured at other thresholds, too.
Accuracy is that of all test images, each run by itself; times are medians in turns. Needs `sluicegate[peers]`. The
second form measures nothing and draws what was measured of one or more networks.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from vision import import_torchvision

from sluicegate.analysis import SetSource, save_figure
from sluicegate.analysis.figures.style import BLUE, GREEN, GREY, VERMILION, Figure, styled
from sluicegate.analysis.peers import dense_peers
from sluicegate.bench import came_from
from sluicegate.files import write_json
from sluicegate.lowering import export
from sluicegate.models import find_pretrained
from sluicegate.train import DataRecipe, NetRecipe, load_run, load_split, provenance, read_result
from sluicegate.train.build import build_plain
from sluicegate_runtime import Session, benchmark

TIMED = 64
REPEATS = 300
LEFT_OUT = "torch"  # of the figure: slower than all others
SIDES = {
    "above": {"dy": -12},
    "below": {"dy": 16},
    "left": {"align": "right", "dx": -8},
    "right": {"align": "left", "dx": 8, "dy": 6},
}
KINDS = {"float32": GREY, "eight bits or bfloat16": VERMILION, "ours, dense": GREEN, "ours, gated": BLUE}

Call = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    options = _options()
    if options.draw is None:
        _measure(options)
    else:
        save_figure(_drawn([json.loads(path.read_text()) for path in options.json]), options.draw)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="?", help="a network by name")
    parser.add_argument("--weights", type=Path, help="of the plain network")
    parser.add_argument("--gated", nargs="*", default=[], metavar="RUN", help="run folders or released networks")
    parser.add_argument("--data", default="cifar10", help="a data set by name")
    parser.add_argument("--normalize", default="imagenet", help="whose mean and std the network was trained with")
    parser.add_argument("--thresholds", type=float, nargs="+", default=(), help="further thresholds of the gates")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="timed calls")
    parser.add_argument("--json", type=Path, nargs="+", required=True, help="where the figures are")
    parser.add_argument("--draw", type=Path, help="measure nothing; draw the figures here, as SVG and PNG")
    options = parser.parse_args()
    if options.draw is None and (options.net is None or options.weights is None or len(options.json) > 1):
        parser.error("NET, --weights and one --json must be given, or --draw")
    return options


def _measure(options: argparse.Namespace) -> None:
    import_torchvision()
    data = DataRecipe(options.data, normalize=options.normalize)
    test, train = (SetSource(load_split(data, split, None)) for split in ("test", "train"))
    with tempfile.TemporaryDirectory() as folder:
        calls, left_out = _calls(options, train, Path(folder))
        seconds = benchmark(calls, list(test.take(range(TIMED))[0][:, None]), options.repeats)
        right = _right(calls, test)
    rows = [
        {"name": name, "kind": _kind(name), "accuracy": right[name], "ms": 1e3 * statistics.median(seconds[name])}
        for name in calls
    ]
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    title = f"{options.data}, {threads} of {provenance.machine()['cpu']}"
    _print(rows, f"{options.net}, {title}")
    found = {"question": "accuracy against milliseconds", "net": options.net, "title": title, "rows": rows}
    about = {"left_out": left_out, "threads": options.threads, "images": len(test)}
    write_json(options.json[0], {**found, **about, **came_from()})


def _calls(options: argparse.Namespace, train: SetSource, folder: Path) -> tuple[dict[str, Call], dict[str, str]]:
    plain = build_plain(NetRecipe(options.net, weights=str(options.weights)), train.images).eval()
    calibration = torch.from_numpy(train.take(range(TIMED))[0])
    peers = dense_peers(plain, calibration[:1], options.threads, calibration)
    runs = [find_pretrained(run) for run in options.gated]
    nets = {"ours dense": plain, **{_gated_name(run): load_run(run)[1].eval() for run in runs}}
    calls = dict(peers.ready)
    for number, (name, net) in enumerate(nets.items()):
        session = Session(export(net, folder / f"{number}.sluice", calibration[:1]), options.threads)
        calls[name] = partial(_output, session)
        for t in options.thresholds if net is not plain else ():
            calls[f"{name}, threshold {t:g}"] = partial(_output, session, threshold=t)
    return calls, peers.left_out


def _gated_name(run: Path) -> str:
    macs = read_result(run).macs
    return f"ours gated, {macs.mean / macs.dense:.2f} of the MACs"


def _output(session: Session, images: np.ndarray, threshold: float | None = None) -> np.ndarray:
    return session.run(images, threshold=threshold).output


def _right(calls: dict[str, Call], test: SetSource) -> dict[str, float]:
    """By call, the share of images whose own class is the largest output."""
    right = dict.fromkeys(calls, 0)
    for pixels, labels in test.batches(1):
        for name, call in calls.items():
            right[name] += int((call(pixels).argmax(1) == labels).sum())
    return {name: count / len(test) for name, count in right.items()}


def _kind(name: str) -> str:
    own = {"ours dense": "ours, dense", "ours gated": "ours, gated"}
    short = "int8" in name or name == "OpenVINO default"
    return own.get(name.partition(",")[0], "eight bits or bfloat16" if short else "float32")


def _print(rows: list[dict[str, Any]], title: str) -> None:
    table = Table("network", "accuracy", "ms", title=title)
    for row in rows:
        table.add_row(row["name"], f"{row['accuracy']:.2%}", f"{row['ms']:.3f}")
    Console().print(table)


def _drawn(reports: Sequence[dict[str, Any]]) -> Figure:
    """A point for each network in each engine. A line joins the networks of an engine, or the gated points of one."""
    rows = [
        {**row, "accuracy": 100 * row["accuracy"], "line": _line(report["net"], row), "said": _said(report["net"], row)}
        for report in reports
        for row in report["rows"]
        if not row["name"].startswith(LEFT_OUT)
    ]
    ends = {row["line"]: row for row in sorted(rows, key=lambda row: row["ms"])}
    named = [row for row in rows if row["kind"] == "ours, gated" or row is ends[row["line"]]]
    base = _chart(rows)
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(detail="line:N")
    words = [
        _chart([row for row in named if _side(row) == side]).mark_text(fontSize=11, **place).encode(text="said:N")
        for side, place in SIDES.items()
    ]
    title = f"{reports[0]['net']} to {reports[-1]['net']}, {reports[0]['title']}"
    return styled(alt.layer(lines, base.mark_point(filled=True, size=60), *words), title, 380)


def _side(row: dict[str, Any]) -> str:
    """Where the words stand, so that they do not run into each other."""
    if row["kind"] == "ours, gated":
        return "left"
    return "above" if "OpenVINO" in row["name"] else "right" if "int8" in row["name"] else "below"


def _chart(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("ms:Q", title="milliseconds an image", scale=alt.Scale(type="log", domain=[0.12, 5])),
        y=alt.Y("accuracy:Q", title="accuracy, %", scale=alt.Scale(zero=False)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values()))),
    )


def _line(net: str, row: dict[str, Any]) -> str:
    return net if row["kind"] == "ours, gated" else row["name"]


def _said(net: str, row: dict[str, Any]) -> str:
    """What stands at a point: an engine, or a network with gates and its share of the MACs; at other thresholds
    nothing."""
    if row["kind"] != "ours, gated":
        return row["name"]
    share, _, threshold = row["name"].removeprefix("ours gated, ").partition(" of the MACs")
    return "" if threshold else f"{net}, gates, {share}"


if __name__ == "__main__":
    sys.exit(main())
