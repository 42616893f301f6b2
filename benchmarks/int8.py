"""What do eight bits give, and what do gates? One trained network, all test images, accuracy and milliseconds.

    python benchmarks/int8.py RUN --weights FILE [--json results/int8.json] [--threads 1]

RUN is a run or a released network with gates (`load_pretrained`), FILE holds the weights of the plain network that it
began with. Peers get the plain network: in float32, and in int8 calibrated on 64 training images. Times are of one
image, medians in turns. Needs `sluicegate[peers]`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sluicegate.analysis.peers import dense_peers
from sluicegate.bench import came_from
from sluicegate.data import Images, ImageSet, Normalize
from sluicegate.files import write_json
from sluicegate.lowering import export
from sluicegate.models import find_pretrained
from sluicegate.train import load_run, load_split, read_run_recipe
from sluicegate.train.build import build_plain
from sluicegate_runtime import Session, benchmark

TIMED = 64
REPEATS = 300


def main() -> None:
    options = _options()
    run = find_pretrained(options.run)
    recipe = read_run_recipe(run)
    test, train = (load_split(recipe.data, split, None) for split in ("test", "train"))
    plain = build_plain(replace(recipe.net, weights=str(options.weights)), test).eval()
    pixels, calibration = _pixels(test, len(test)), torch.from_numpy(_pixels(train, TIMED))
    peers = dense_peers(plain, calibration[:1], options.threads, calibration)
    with tempfile.TemporaryDirectory() as folder:
        nets = {"ours dense": plain, "ours gated": load_run(run)[1].eval()}
        ours = {
            name: Session(export(net, Path(folder) / f"{number}.sluice", calibration[:1]), options.threads)
            for number, (name, net) in enumerate(nets.items())
        }
    calls = {**peers.ready, **{name: partial(_output, session) for name, session in ours.items()}}
    batches = [pixels[i : i + 1] for i in range(TIMED)]
    seconds = benchmark(calls, batches, REPEATS)
    rows = [
        {"name": name, "accuracy": _accuracy(call, pixels, test), "ms": 1e3 * statistics.median(seconds[name])}
        for name, call in calls.items()
    ]
    _print(rows, f"{recipe.net.name}, {len(test)} images, {options.threads} threads")
    if options.json:
        report = {"question": "eight bits and gates", "run": recipe.name, "rows": rows, "left_out": peers.left_out}
        write_json(options.json, {**report, "threads": options.threads, "images": len(test), **came_from()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder, or the name of a released network")
    parser.add_argument("--weights", type=Path, required=True, help="of the plain network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _pixels(images: Images, count: int) -> np.ndarray:
    """[count, C, H, W], normalised."""
    assert isinstance(images, ImageSet)
    return Normalize(images.mean, images.std)(images.images[:count]).numpy()


def _output(session: Session, images: np.ndarray) -> np.ndarray:
    return session.run(images).output


def _accuracy(call: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, test: Images) -> float:
    assert isinstance(test, ImageSet)
    said = np.concatenate([call(one).argmax(1) for one in _singly(pixels)])
    return float((said == test.labels.numpy()).mean())


def _singly(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[i : i + 1] for i in range(len(pixels)))


def _print(rows: list[dict[str, Any]], title: str) -> None:
    table = Table("network", "accuracy", "ms", title=title)
    for row in rows:
        table.add_row(row["name"], f"{row['accuracy']:.2%}", f"{row['ms']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
