"""docs/reproduce.md says what the files in results/ say."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def reproduce() -> Any:
    sys.path.append(str(ROOT / "benchmarks"))
    yield importlib.import_module("reproduce")
    sys.path.remove(str(ROOT / "benchmarks"))


def test_the_page_is_that_of_the_results(reproduce: Any) -> None:
    """Else run `python benchmarks/reproduce.py`."""
    assert (ROOT / "docs" / "reproduce.md").read_text() == reproduce.page(ROOT / "results")


def test_differences_are_told(reproduce: Any, tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "finetune").mkdir()
    told = {"accuracy": 0.8796, "macs": {"mean": 7.7e6}, "epochs": 400, "command": "sluicegate train it"}
    (tmp_path / "cifar10" / "row.json").write_text(json.dumps(told | {"name": "dlcg-resnet20-cifar10-row1"}))
    half = {"before": {"accuracy": 0.9, "macs": 4e6}, "after": {"accuracy": 0.91, "macs": 2e6}, "epochs": 3}
    (tmp_path / "finetune" / "half.json").write_text(json.dumps(half | {"command": "sluicegate finetune it"}))
    page = reproduce.page(tmp_path)
    assert "| 1 | 88.96 % | 7.6 | 87.96 % | 7.7 | -1.00 | 400 | 1 | `sluicegate train it` |" in page
    assert "| `half.json` | 90.00 % | 91.00 % | +1.00 | 0.500 | 3 | 1 | `sluicegate finetune it` |" in page
    assert "| 2 | 89.67 % | 8.9 | not run |" in page
    assert "`dlcg-resnet20-cifar10-row2`" in page and "`dlcg-resnet20-cifar10-row1`" not in page
