"""Accuracy against milliseconds: one trained network with its gates, as it was before them, and in its peers.

    python benchmarks/accuracy_ms.py RUN --weights FILE --json results/accuracy_ms/NAME.json [--thresholds 0.3 0.7]
    python benchmarks/accuracy_ms.py --json results/accuracy_ms/NAME.json --draw docs/accuracy-ms.png

RUN is a run or a released network with gates (`load_pretrained`), FILE holds the weights of the plain network that it
began with. Peers get the plain network: in float32, and in int8 calibrated on 64 training images. The network with
gates is measured at other thresholds, too. Accuracy is that of all test images, each run by itself; times are medians
in turns. Needs `sluicegate[peers]`. The second form measures nothing and draws what was measured.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
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
from sluicegate.train import Recipe, load_run, load_split, provenance, read_run_recipe
from sluicegate.train.build import build_plain
from sluicegate_runtime import Session, benchmark

TIMED = 64
REPEATS = 300
KINDS = {"float32": GREY, "eight bits or bfloat16": VERMILION, "ours, dense": GREEN, "ours, gated": BLUE}

Call = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    options = _options()
    if options.draw is None:
        _measure(options)
    else:
        save_figure(_drawn(json.loads(options.json.read_text())), options.draw)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="a run folder, or the name of a released network")
    parser.add_argument("--weights", type=Path, help="of the plain network")
    parser.add_argument("--thresholds", type=float, nargs="+", default=(), help="further thresholds of the gates")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="timed calls")
    parser.add_argument("--json", type=Path, required=True, help="where the figures are")
    parser.add_argument("--draw", type=Path, help="measure nothing; draw the figures here, as SVG and PNG")
    options = parser.parse_args()
    if options.draw is None and (options.run is None or options.weights is None):
        parser.error("RUN and --weights must be given, or --draw")
    return options


def _measure(options: argparse.Namespace) -> None:
    import_torchvision()
    run = find_pretrained(options.run)
    recipe = read_run_recipe(run)
    test, train = (SetSource(load_split(recipe.data, split, None)) for split in ("test", "train"))
    with tempfile.TemporaryDirectory() as folder:
        calls, left_out = _calls(run, recipe, options, train, Path(folder))
        seconds = benchmark(calls, list(test.take(range(TIMED))[0][:, None]), options.repeats)
        right = _right(calls, test)
    rows = [
        {"name": name, "kind": _kind(name), "accuracy": right[name], "ms": 1e3 * statistics.median(seconds[name])}
        for name in calls
    ]
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    title = f"{recipe.net.name}, {recipe.data.name}, {threads} of {provenance.machine()['cpu']}"
    _print(rows, title)
    found = {"question": "accuracy against milliseconds", "title": title, "rows": rows, "left_out": left_out}
    write_json(options.json, {**found, "threads": options.threads, "images": len(test), **came_from()})


def _calls(
    run: Path, recipe: Recipe, options: argparse.Namespace, train: SetSource, folder: Path
) -> tuple[dict[str, Call], dict[str, str]]:
    plain = build_plain(replace(recipe.net, weights=str(options.weights)), train.images).eval()
    calibration = torch.from_numpy(train.take(range(TIMED))[0])
    peers = dense_peers(plain, calibration[:1], options.threads, calibration)
    dense, gated = (
        Session(export(net, folder / f"{number}.sluice", calibration[:1]), options.threads)
        for number, net in enumerate((plain, load_run(run)[1].eval()))
    )
    ours = {"ours dense": partial(_output, dense), "ours gated": partial(_output, gated)}
    moved = {f"ours gated, threshold {t:g}": partial(_output, gated, threshold=t) for t in options.thresholds}
    return {**peers.ready, **ours, **moved}, peers.left_out


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


def _drawn(report: dict[str, Any]) -> Figure:
    """A bar of milliseconds for each, with its accuracy at the end: most accuracies are the same."""
    rows = [
        {**row, "said": f"{row['ms']:.2f} ms, {row['accuracy']:.2%} right"}
        for row in sorted(report["rows"], key=lambda row: row["ms"])
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("ms:Q", title="milliseconds an image", scale=alt.Scale(domainMax=1.25 * max(r["ms"] for r in rows))),
        y=alt.Y("name:N", title=None, sort=[row["name"] for row in rows], axis=alt.Axis(labelLimit=220)),
    )
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())))
    said = base.mark_text(align="left", dx=6, fontSize=12, color="#707070").encode(text="said:N")
    return styled(alt.layer(base.mark_bar().encode(color=colour), said), report["title"], 28 * len(rows))


if __name__ == "__main__":
    sys.exit(main())
