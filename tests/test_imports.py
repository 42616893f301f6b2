"""What importing the package must not load: every command pays for it."""

import ast
import subprocess
import sys

import pytest
from commands import environment

HEAVY = {"pandas", "altair", "vl_convert", "sklearn"}
TRAINING = {"torch", "lightning", "torchmetrics"}


def loaded(code: str) -> set[str]:
    """The packages that a fresh Python holds after running `code`."""
    code += "\nimport sys; print({name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", code]
    return ast.literal_eval(subprocess.run(run, capture_output=True, text=True, check=True, env=environment()).stdout)


@pytest.mark.cases(1)
@pytest.mark.parametrize("code", ["import sluicegate", "import sluicegate.cli", "import sluicegate.analysis"])
def test_what_only_reports_need_is_not_loaded(code):
    assert not HEAVY & loaded(code)


@pytest.mark.parametrize("code", ["import sluicegate", "import sluicegate.cli"])
def test_what_only_training_needs_is_not_loaded(code):
    assert not TRAINING & loaded(code)


def test_every_public_name_is_there_when_it_is_asked_for():
    assert "torch" in loaded("import sluicegate\nassert all(hasattr(sluicegate, name) for name in sluicegate.__all__)")


@pytest.mark.broad
def test_every_name_of_the_analysis_is_there_when_it_is_asked_for():
    everything = "from sluicegate.analysis import *; assert callable(write_page) and callable(observe)"
    assert loaded(everything) >= HEAVY - {"sklearn"}  # which `gate_map` alone loads, once it is called
