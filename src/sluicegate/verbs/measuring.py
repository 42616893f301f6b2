"""The verbs `bench`, `profile` and `frontier` of the command line."""

import tempfile
from dataclasses import asdict
from pathlib import Path

import jsonargparse

from sluicegate.analysis import save_frontier
from sluicegate.bench import DENSE, GATED, as_file, came_from, compare, predicted, save_latency_table, what_to_time
from sluicegate.recipes import paper
from sluicegate.tables import bench_table, slower_than_dense
from sluicegate.terminal import note, show
from sluicegate.train.frontiers import run_series
from sluicegate_runtime import LatencyTable
from sluicegate_runtime.preprocess import parse_preprocessing


def bench(config: jsonargparse.Namespace) -> None:
    """The verb `bench`."""
    with tempfile.TemporaryDirectory() as scratch:
        _compare(config, Path(scratch))


def _compare(config: jsonargparse.Namespace, scratch: Path) -> None:
    table = LatencyTable.load(config.latency) if config.latency else None
    said = None if config.preprocessing is None else parse_preprocessing(config.preprocessing)
    file, data = as_file(config.model, scratch, config.data_dir)
    pixels, source = what_to_time(file, config.files, data, config.data_dir, said)
    forecast = predicted(file, pixels, table, config.threads, config.tune) if table else None
    note("preparing the other engines")
    timings, left_out = compare(file, pixels, config.threads, config.batch_size, config.repeats, config.tune)
    report = {
        "model": config.model,
        "timed_on": source,
        **{key: config[key] for key in ("threads", "batch_size", "repeats", "tune")},
        "timings": [asdict(one) for one in timings],
        "predicted_ms": forecast,
        "left_out": left_out,
        **came_from(),
    }
    notes = [f"left out: {peer}, {why}" for peer, why in left_out.items()]
    if forecast is not None:
        notes.append(f"the latency table predicts {forecast:.3f} ms for an image, the median")
    ours = {one.name: one.median_ms for one in timings if one.name in (DENSE, GATED)}
    notes += slower_than_dense({DENSE: ours[DENSE], **ours})
    show(config.json, report, bench_table(timings), f"timed on {source}, {config.batch_size} at a call", *notes)


def profile(config: jsonargparse.Namespace) -> None:
    """The verb `profile`."""
    with tempfile.TemporaryDirectory() as scratch:
        file, _ = as_file(config.model, Path(scratch), config.data_dir)
        table = save_latency_table(file, config.output, config.threads, config.tune)
    found = {"dense_ms": table.dense, "overhead_ms": table.overhead, "ops": len(table.ops), "threads": table.threads}
    show(config.json, {"file": str(config.output), **found}, f"table: {config.output}", f"dense: {table.dense:.3f} ms")


def frontier(config: jsonargparse.Namespace) -> None:
    """The verb `frontier`."""
    series = run_series(config.runs, timed=config.unit == "ms", data_dir=config.data_dir)
    series += [paper(config.paper)] if config.paper else []
    files = [str(file) for file in save_frontier(series, config.output, config.title, config.unit)]
    show(config.json, {"files": files, "series": [asdict(one) for one in series]}, *files)
