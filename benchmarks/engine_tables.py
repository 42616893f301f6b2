"""The engine's figures on this processor, for each instruction set that it has, by one command.

    python benchmarks/engine_tables.py [--cases resnet34 resnet50 ...] [--isas avx2 avx512] [--folder results/engine]
    python benchmarks/engine_tables.py --markdown     # only the tables of what the folder holds

Each case is a run of `resnet34_cpu.py`, whose report is kept as FOLDER/PROCESSOR-ISA-CASE.json. Peers use what the
machine has; $SLUICEGATE_ISA, by which the set is chosen, binds our engine alone. A table has a row for each case and
gated network: MACs and time over the dense float32 network in the fastest peer, ncnn among them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluicegate.train import provenance
from sluicegate_runtime._engine import isas

SCRIPT = Path(__file__).with_name("resnet34_cpu.py")
CASES: dict[str, list[str]] = {
    "resnet34": ["--rates", "0.7", "0.45", "0.22"],
    "resnet34_1_thread": ["--threads", "1", "--rates", "0.45"],
    "resnet34_32_images": ["--images", "32", "--rates", "0.45", "--repeats", "5"],
    "resnet34_layer_gates": ["--gates", "layer", "--rates", "0.45"],
    "resnet50": ["--net", "torchvision:resnet50", "--rates", "0.55"],
    "mobilenet_v2": ["--net", "torchvision:mobilenet_v2", "--rates", "0.27"],
    "efficientnet_lite0": ["--net", "timm:tf_efficientnet_lite0", "--rates", "0.5"],
    "resnet20": ["--net", "resnet20", "--rates", "0.5", "--repeats", "200"],
}


def main() -> None:
    options = _options()
    if not options.markdown:
        for isa in options.isas:
            for case in options.cases:
                file = options.folder / f"{_slug(provenance.machine()['cpu'])}-{isa}-{case}.json"
                command = [sys.executable, SCRIPT, "--repeats", str(options.repeats), *CASES[case], "--json", file]
                subprocess.run(command, check=True, env={**os.environ, "SLUICEGATE_ISA": isa})
    for title, lines in _tables(options.folder).items():
        print(f"\n{title}\n", *lines, sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--isas", nargs="+", default=[isa for isa in isas() if isa != "portable"])
    parser.add_argument("--folder", type=Path, default=Path("results/engine"), help="where the reports are")
    parser.add_argument("--repeats", type=int, default=65, help="timed calls, where the case does not say")
    parser.add_argument("--markdown", action="store_true", help="run nothing")
    return parser.parse_args()


def _slug(name: object) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


HEAD = [
    "| | fastest float32 peer, ms | MACs | ours, dense | gated | realised saving | OpenVINO slimmed | OpenVINO int8 |",
    "|---|---|---|---|---|---|---|---|",
]


def _tables(folder: Path) -> dict[str, list[str]]:
    """Title -> lines of Markdown, by processor and instruction set."""
    tables: dict[str, list[str]] = {}
    for case, file in _reports(folder):
        report = json.loads(file.read_text(encoding="utf-8"))
        title = f"{report['machine']['cpu']}, {report['isa']}"
        tables.setdefault(title, list(HEAD)).extend(_lines(case, report["rows"]))
    return tables


def _reports(folder: Path) -> Iterator[tuple[str, Path]]:
    files = sorted(folder.glob("*.json"))
    for case in CASES:
        yield from ((case, file) for file in files if file.stem.endswith(f"-{case}"))


def _lines(case: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each gated network: times over the fastest float32 peer's, each at the MACs of the gated one or all."""
    by_name = {row["name"]: row for row in rows}
    (fastest,) = (row for row in rows if row["fastest_f32_peer"])
    for name, row in by_name.items():
        if rate := re.fullmatch(r"ours gated (\d+%)", name):
            slimmed = by_name.get(f"OpenVINO f32 slimmed {rate[1]}")
            figures = (by_name["ours dense"], row), (slimmed, by_name.get("OpenVINO int8"))
            ours, theirs = (" | ".join(map(_over, pair)) for pair in figures)
            yield (
                f"| {case.replace('_', ' ')} | {fastest['name']} {fastest['median_ms']:.2f} "
                f"| {row['macs_over_dense']:.2f} | {ours} | {row['realised_saving']:.2f} | {theirs} |"
            )


def _over(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['over_fastest_f32_peer']:.2f}"


if __name__ == "__main__":
    main()
