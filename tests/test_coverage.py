"""A slice of `benchmarks/coverage.py`: networks of other people, gated, counted, lowered and run beside torch."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torchvision")
pytest.importorskip("timm")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = {
    "torchvision:squeezenet1_1": 0.95,
    "timm:test_resnet": 0.9,
    "timm:test_convnext2": 0.7,
    "timm:test_efficientnet": 0.95,
    "timm:lcnet_035": 0.95,
    "timm:starnet_s050": 0.7,
    "timm:mobilenetv3_small_050": 0.95,
    "timm:skresnet18": 0.9,
}
"""Network -> the share of its MACs that can be closed, at least."""


@pytest.fixture(scope="module")
def coverage() -> Any:
    """The scripts, which import each other by their names."""
    sys.path.append(str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", SMALL)
def test_small_networks(coverage: Any, name: str) -> None:
    row = coverage("coverage_check").check(name, largest_side=64)
    assert (row.reached, row.error) == ("verified", "")
    assert row.closable > SMALL[name]


REFUSED = {"edgenext"}
"""Families whose first network is refused, as docs/coverage.md says."""


def _first_of_each_family() -> list[tuple[str, str]]:
    sys.path.append(str(BENCHMARKS))
    try:
        families = importlib.import_module("coverage_nets").TIMM
    finally:
        sys.path.remove(str(BENCHMARKS))
    return [(family, names.split()[0]) for family, names in families.items()]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "model"), _first_of_each_family())
def test_every_family(coverage: Any, family: str, model: str) -> None:
    row = coverage("coverage_check").check(f"timm:{model}", family, largest_side=96)
    if family in REFUSED:
        assert row.error and row.reached != "verified"
    else:
        assert (row.reached, row.error) == ("verified", "")


def test_the_page_names_every_network(coverage: Any) -> None:
    coverage("vision").import_torchvision()
    rows = [
        coverage("coverage_check").Row(named.name, named.family, 96, "verified" if i else "built", "a reason")
        for i, named in enumerate(coverage("coverage_nets").networks())
    ]
    page = coverage("coverage").markdown(rows)
    assert len(rows) > 300 and all(f"| {row.name} |" in page for row in rows)
    assert page.count("a reason") == 1
