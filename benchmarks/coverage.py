"""Which CNNs can be gated, counted and exported, and how much of each can be closed?

    python benchmarks/coverage.py [--json results/coverage.json] [--markdown docs/coverage.md] [NAME ...]

Every torchvision classification network, more than 200 of timm's, but for those that attend over pixels, and some of
our own (`coverage_nets.py` names them), with random weights: channel gates at="all" (one gate of each site outside of a
branch kept open), layer gates where there are residual branches. Each is then lowered and run in the engine beside
torch, gates as they decide, all open, half closed and all closed: outputs must agree to 1e-4 of the largest, decisions
and MACs exactly. (Where torch in float32 is itself further off torch in float64, to four times that.) Results are
written as they come; networks that a file has already, without an error, are not run again. Needs torchvision and timm.
"""

import argparse
import fnmatch
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from coverage_check import Row, check
from coverage_nets import LARGEST_SIDE, TIMM_LEFT_OUT, TORCHVISION_LEFT_OUT, Named, networks
from rich.console import Console
from rich.table import Table
from vision import import_torchvision

from sluicegate.files import write_json, write_text


def main() -> None:
    options = _options()
    import_torchvision()
    rows = {row.name: row for row in _known(options.json)} if options.json else {}
    asked = _asked(options.names)
    missing = [named for named in asked if options.again or named.name not in rows or rows[named.name].error]
    with Pool(options.processes, options.limit) as pool:
        for row in pool.run(missing, options.side):
            rows[row.name] = row
            Console().print(_line(row), markup=False, highlight=False, soft_wrap=True)
            if options.json:
                write_json(options.json, _report(rows.values(), options))
    if options.markdown:
        write_text(options.markdown, markdown(rows.values()))
    Console().print(_summary(rows.values()))


def _asked(patterns: list[str]) -> list[Named]:
    """The networks that patterns name, in the order of these; all where there are none."""
    if not patterns:
        return networks()
    found = {named: None for pattern in patterns for named in networks() if _fits(named, pattern)}
    return list(found)


def _fits(named: Named, pattern: str) -> bool:
    parts = (named.name, named.name.rpartition(":")[2], named.family)
    return any(fnmatch.fnmatch(part, pattern) for part in parts)


class Pool:
    """Processes that check one network after the other; one that takes too long is ended, and a new one begun."""

    def __init__(self, processes: int, limit: float) -> None:
        self._processes, self._limit = processes, limit
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> "Pool":
        self._idle = [self._begin() for _ in range(self._processes)]
        return self

    def __exit__(self, *error: Any) -> None:
        for process, _ in self._idle:
            process.terminate()

    def run(self, asked: Iterable[Named], side: int | None) -> Iterator[Row]:
        """The row of each network, as they come."""
        import time

        waiting, busy = list(asked)[::-1], {}
        while waiting or busy:
            while waiting and self._idle:
                worker, named = self._idle.pop(), waiting.pop()
                worker[1].send((*named, side))
                busy[worker[1]] = (worker, named, time.monotonic() + self._limit)
            for connection in wait(list(busy), timeout=1.0):
                worker, named, _ = busy.pop(connection)  # type: ignore[arg-type]
                yield self._answer(worker, named)
            for worker, named, end in list(busy.values()):
                if time.monotonic() > end:
                    del busy[worker[1]]
                    self._replace(worker)
                    yield Row(*named, error=f"not done after {self._limit:.0f} s")

    def _answer(self, worker: Any, named: Named) -> Row:
        try:
            row = worker[1].recv()
        except (EOFError, OSError):  # it died, as where memory runs out
            self._replace(worker)
            return Row(*named, error="the process ended")
        self._idle.append(worker)
        return row

    def _replace(self, worker: Any) -> None:
        worker[0].kill()
        self._idle.append(self._begin())

    def _begin(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, ours


def _work(connection: Connection) -> None:
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    import_torchvision()
    while True:
        name, family, side = connection.recv()
        connection.send(check(name, family, side))


def _known(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text())["networks"]] if path.is_file() else []


def _report(rows: Iterable[Row], options: argparse.Namespace) -> dict[str, Any]:
    from sluicegate.train import provenance  # imports torchvision, which needs `import_torchvision` first

    return {
        "question": "which CNNs can be gated, counted and exported, and what share of their MACs can be closed",
        "largest_side": options.side or LARGEST_SIDE,
        "left_out": {"torchvision": TORCHVISION_LEFT_OUT, "timm": TIMM_LEFT_OUT},
        "networks": [asdict(row) for row in sorted(rows, key=lambda row: (row.family, row.name))],
        **provenance.provenance(),
    }


def _line(row: Row) -> str:
    closable = f"{row.closable:.1%} closable, {row.closable_with_layers:.1%} with layers"
    told = row.error or f"{row.gates} gates, {row.layers} layers, {closable}"
    return f"{row.name} ({row.side}): {row.reached or 'not built'}; {told}; {row.seconds} s"


def _libraries(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.name.rpartition(":")[0] or "sluicegate", []).append(row)
    return found


def _count(rows: list[Row], good: Callable[[Row], bool]) -> str:
    return f"{sum(map(good, rows))} of {len(rows)}"


def _summary(rows: Iterable[Row]) -> Table:
    table = Table("library", "gated", "exported", "engine equal", "mean share that can be closed")
    for library, found in _libraries(rows).items():
        table.add_row(library, *_counts(found))
    return table


def _counts(rows: list[Row]) -> tuple[str, str, str, str]:
    good = [row for row in rows if row.reached == "verified"]
    share = f"{sum(row.closable for row in good) / max(len(good), 1):.1%}"
    gated = _count(rows, lambda row: row.reached in ("gated", "lowered", "verified"))
    lowered = _count(rows, lambda row: row.reached in ("lowered", "verified"))
    return gated, lowered, _count(rows, lambda row: row.reached == "verified"), share


def markdown(rows: Iterable[Row]) -> str:
    """The page: a summary, what does not work and why, what is left out, and a line for each network."""
    rows = sorted(rows, key=lambda row: (row.family != "torchvision", row.family, row.name))
    bad = [row for row in rows if row.reached != "verified"]
    parts = ["# Coverage", _INTRODUCTION, _table(("", "gated", "exported", "engine equal to torch", "closable, mean"),
             [(library, *_counts(found)) for library, found in _libraries(rows).items()])]  # fmt: skip
    if rounding := [row for row in rows if row.rounding and row not in bad]:
        parts.append(_rounding(rounding))
    if bad:
        parts += ["Refused, and why:", _table(("network", "why"), [(row.name, row.error) for row in bad])]
    left_out: dict[str, list[str]] = {}
    for family, why in {**TORCHVISION_LEFT_OUT, **TIMM_LEFT_OUT}.items():
        left_out.setdefault(why, []).append(family)
    parts += ["Left out:", "\n".join(f"- {why}: {', '.join(sorted(set(names)))}" for why, names in left_out.items())]
    lines = [
        (
            row.name,
            row.side,
            f"{row.macs / 1e6:,.0f}",
            row.gates,
            row.layers,
            f"{row.closable:.1%}",
            f"{row.closable_with_layers:.1%}",
            f"{row.seconds:.0f}",
        )
        for row in rows
        if row.reached == "verified"
    ]
    parts += [
        "## Networks",
        _table(("network", "side", "MMACs", "gates", "layer gates", "closable", "with layers", "s"), lines),
    ]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
- **What:** More than 300 networks of torchvision and timm, and how much of their work gates can close.
- **When:** You want to know whether sluicegate can gate and export your network.
- **Shortest command:** `sluicegate sites torchvision:resnet50`

Written by

    python benchmarks/coverage.py --side 96 --json results/coverage.json --markdown docs/coverage.md

Each network has random weights, channel gates `at="all"` (outside of branches one gate of each site is kept open), and
layer gates if it has residual branches. Its MACs are counted; it is exported and run in the engine and in torch, with
gates as they decide, all open, half closed and all closed. Outputs agree to 1e-4 of the largest, decisions and MACs
exactly. Images are small, so that all networks run in an hour; at 224 pixels the closable share is slightly different.

"Closable" is the share of the network's MACs that is saved if all channel gates close that can. The first figure is
with all layer gates open, the second with all closed. Seconds include everything, on one core of a busy machine."""


def _rounding(rows: list[Row]) -> str:
    """Where the engine is held to another tolerance."""
    named = ", ".join(f"{row.name} ({row.rounding:.0e})" for row in rows)
    return (
        "With random weights some networks amplify rounding errors: torch in float32 differs from torch in float64 by "
        f"more than a quarter of the tolerance. Their outputs agree to four times that difference: {named}."
    )


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks or families, with * and ?; all by default")
    parser.add_argument("--json", type=Path, help="results, read first and written as they come")
    parser.add_argument("--markdown", type=Path, help="the page with the table")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one network")
    parser.add_argument("--side", type=int, help="the largest side of the images in pixels, for a quick look")
    parser.add_argument("--again", action="store_true", help="run also what has been run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
