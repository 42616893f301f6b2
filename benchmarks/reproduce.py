"""What papers printed beside what we got: writes docs/reproduce.md from the files in results/.

python benchmarks/reproduce.py
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sluicegate.files import write_text
from sluicegate.recipes import recipes
from sluicegate.recipes.dlcg import TABLE_1

ROOT = Path(__file__).parents[1]
PAPERS = ("dlcg", "batch_shaping", "stochastic_gates", "gaternet", "fbs", "aig", "skipnet")
"""How recipes that follow a paper are named at their beginning."""

ORDERINGS = (
    ("channels and layers", "channels", "DLCG, figure 3"),
    ("channels", "layers", "DLCG, figure 3"),
    ("channels and layers", "layers", "DLCG, figure 3"),
    ("batch shaping", "channels", "batch shaping, section 5.3"),
)
"""Kinds of gates of which a paper finds the first better than the second at the same MACs."""

HEAD = """# Papers' figures and ours

- **What:** The accuracies and MACs that papers print, beside those that our recipes reach.
- **When:** You want to know how close a recipe comes to its paper.
- **Shortest command:** `python benchmarks/reproduce.py`

Written by

    python benchmarks/reproduce.py

from `results/`: test accuracy of the last step's weights, mean MACs of a test image, gates and their heads included.
"""


def page(results: Path) -> str:
    """The whole page, of the result files in a folder."""
    found = {result["name"]: result for result in _from_scratch(results)}
    return (
        "\n".join([HEAD, *_table_1(found), *_same_macs(results), *_finetuned(results / "finetune"), *_not_run(found)])
        + "\n"
    )


def _table_1(found: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield "## DLCG, Table 1: ResNet-20 on CIFAR-10, from scratch\n"
    yield (
        "The paper trains for 400 epochs. Our rows with fewer epochs do not reproduce the paper; they show what these "
        "epochs reach.\n"
    )
    yield from _header(
        "row", "paper", "million MACs", "ours", "million MACs", "difference", "epochs", "seeds", "command"
    )
    for number, row in enumerate(TABLE_1, 1):
        paper = (f"{row.accuracy:.2f} %", f"{1e3 * row.gmac:.1f}")
        ours = found.get(f"dlcg-resnet20-cifar10-row{number}")
        yield _line(number, *paper, *(_ours(ours, row.accuracy) if ours else ("not run", "", "", "", "", "")))
    yield ""


def _ours(result: dict[str, Any], paper: float) -> tuple[Any, ...]:
    accuracy, macs = 100 * result["accuracy"], result["macs"]["mean"] / 1e6
    command = f"`{result['command']}`"
    return f"{accuracy:.2f} %", f"{macs:.1f}", f"{accuracy - paper:+.2f}", result["epochs"], 1, command


def _same_macs(results: Path) -> Iterator[str]:
    path = results / "same_macs.json"
    if not path.exists():
        return
    measured = json.loads(path.read_text(encoding="utf-8"))
    kinds, epochs = measured["kinds"], measured["epochs"]
    targets = list(next(iter(kinds.values())))
    yield "## Which gates are best at the same MACs\n"
    yield (
        f"Four kinds of gates, each from the same trained ResNet-20, by {epochs} epoch of training with the same "
        "target in place of the papers' losses on rates (`benchmarks/same_macs.py`). Accuracy, and the share of the "
        f"dense MACs that was reached. One run each; {epochs} epoch is far from converged. Made by "
        f"`{measured['command']}`.\n"
    )
    yield from _header("gates", *(f"target {target}" for target in targets))
    for kind, points in kinds.items():
        yield _line(kind, *(f"{100 * one['accuracy']:.2f} % ({one['macs_share']:.3f})" for one in points.values()))
    yield "\nWhat the papers found, and by how many points the first is better here:\n"
    yield from _header("first", "second", "paper", *(f"target {target}" for target in targets), "holds")
    for first, second, paper in ORDERINGS:
        ahead = [100 * (kinds[first][target]["accuracy"] - kinds[second][target]["accuracy"]) for target in targets]
        holds = sum(points > 0 for points in ahead)
        yield _line(first, second, paper, *(f"{points:+.2f}" for points in ahead), f"{holds} of {len(ahead)}")
    yield ""


def _finetuned(folder: Path) -> Iterator[str]:
    yield "## Fine-tuned from published dense weights, CIFAR-10\n"
    yield "No paper has these figures. They are compared with the network before fine-tuning.\n"
    yield from _header("result", "as it came", "gated", "difference", "share of MACs", "epochs", "seeds", "command")
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        before, after = (100 * result[when]["accuracy"] for when in ("before", "after"))
        share = result["after"]["macs"] / result["before"]["macs"]
        yield _line(
            f"`{path.name}`",
            f"{before:.2f} %",
            f"{after:.2f} %",
            f"{after - before:+.2f}",
            f"{share:.3f}",
            result["epochs"],
            1,
            f"`{result['command']}`",
        )
    yield ""


def _not_run(done: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    missing = [name for name in recipes() if name.split("-")[0] in PAPERS and "digits" not in name and name not in done]
    yield "## Not run\n"
    yield "Recipes that follow a paper and have no result here: " + (", ".join(f"`{name}`" for name in missing) + ".")


def _from_scratch(results: Path) -> list[dict[str, Any]]:
    """What runs came to, by the form of their result.json."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("cifar10*/*.json"))]
    return [result for result in read if "accuracy" in result]


def _header(*names: str) -> Iterator[str]:
    yield _line(*names)
    yield _line(*("---" for _ in names))


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    write_text(ROOT / "docs" / "reproduce.md", page(ROOT / "results"))
