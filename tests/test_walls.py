"""Imports run one way.

The table below is the rule: a module or folder of `sluicegate` may import those of the lines above its own,
and nothing of its own line but itself. `sluicegate` may import `sluicegate_runtime`, which imports neither
`sluicegate` nor torch. `sluicegate_command` stands above both, and hands over to one of them once it knows to which.
torchvision and timm are optional, so no import statement names them. The last tests plant breaches.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import environment

SOURCE = Path(__file__).parents[1] / "src"

TIERS = (
    {"errors"},
    {"files", "noise"},
    {"schedule", "gates", "graph", "nets", "data", "terminal"},
    {"ops", "tasks"},
    {"sites"},
    {"costs"},
    {"objectives", "convert"},
    {"methods", "lowering", "analysis", "cutting"},
    {"train"},
    {"recipes", "models"},
    {"bench"},
    {"tables"},
    {"verbs"},
    {"cli"},
    {"__init__", "__main__"},  # the package's front: public names and `python -m sluicegate`
)
TIER_OF = {unit: tier for tier, units in enumerate(TIERS) for unit in units}
ALONE = {"nets", "data"}  # of `sluicegate` these import no more than the next line
TO_ALL = {"errors", "noise"}
NEVER_IN_CORE = {"torchvision", "timm"}
NEVER_IN_RUNTIME = {"torch", "sluicegate", "sluicegate_command", *NEVER_IN_CORE}
HANDED_TO = {("sluicegate", "cli"), ("sluicegate", "analysis"), ("sluicegate_runtime", "__main__")}


def imported(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file of `package` imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*start, *module, alias.name) for alias in node.names)


def core_breach(unit: str, name: tuple[str, ...]) -> str | None:
    """Why `unit` of `sluicegate` may not import `name`, or None where it may."""
    if name[0] in NEVER_IN_CORE:
        return f"{name[0]} is optional"
    if name[0] == "sluicegate_command":
        return "the command stands above"
    if name[0] != "sluicegate":
        return None
    target = name[1] if len(name) > 1 and name[1] in TIER_OF else "__init__"
    if target == unit:
        return None
    if unit in ALONE and target not in TO_ALL:
        return f"{unit} stands alone"
    if TIER_OF[target] >= TIER_OF[unit]:
        return f"{target} is not below {unit}"
    return None


def runtime_breach(unit: str, name: tuple[str, ...]) -> str | None:
    """Why `unit` of `sluicegate_runtime` may not import `name`, or None where it may."""
    return f"the runtime does without {name[0]}" if name[0] in NEVER_IN_RUNTIME else None


def command_breach(unit: str, name: tuple[str, ...]) -> str | None:
    """Why `sluicegate_command` may not import `name`, or None where it may: what is Python's own, and what it hands
    over to."""
    may = name[0] in sys.stdlib_module_names or name[:2] in HANDED_TO
    return None if may else "the command only hands over"


RULES = {"sluicegate": core_breach, "sluicegate_runtime": runtime_breach, "sluicegate_command": command_breach}


def breaches(source: Path) -> list[str]:
    """Every import in `source` that breaks a rule, one line each."""
    found = []
    for package, rule in RULES.items():
        for path in sorted((source / package).rglob("*.py")):
            place = path.relative_to(source)
            unit = place.parts[1].removesuffix(".py")
            if package == "sluicegate" and unit not in TIER_OF:
                found.append(f"{place}: {unit} has no line in the table of tiers")
                continue
            for name in imported(path, place.parts[:-1]):
                if reason := rule(unit, name):
                    found.append(f"{place}: imports {'.'.join(name)}, but {reason}")
    return found


def test_imports_run_one_way() -> None:
    assert breaches(SOURCE) == []


def test_the_command_hands_over_late() -> None:
    """`predict` must not pay for torch."""
    code = "import sys, sluicegate_command; print({name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", code]
    loaded = subprocess.run(run, capture_output=True, text=True, check=True, env=environment()).stdout
    assert not {"torch", "numpy", "sluicegate", "sluicegate_runtime"} & set(ast.literal_eval(loaded))


def test_the_walls_are_tested_on_something() -> None:
    files = (SOURCE / "sluicegate").rglob("*.py")
    seen = {name for path in files for name in imported(path, ("sluicegate",))}
    assert ("sluicegate", "errors", "InputError") in seen


@pytest.mark.parametrize(
    ("file", "statement", "reason"),
    [
        ("sluicegate/gates/gate.py", "from sluicegate.costs import MacModel", "costs is not below gates"),
        ("sluicegate/gates/gate.py", "import sluicegate.graph.tracing", "graph is not below gates"),
        ("sluicegate/graph/tracing.py", "from sluicegate import cli", "cli is not below graph"),
        ("sluicegate/graph/tracing.py", "from sluicegate.ops import ROOMS", "ops is not below graph"),
        ("sluicegate/ops/conv.py", "from sluicegate.sites import Places", "sites is not below ops"),
        ("sluicegate/costs/macs.py", "from ..convert import gate_model", "convert is not below costs"),
        ("sluicegate/costs/macs.py", "from .. import train", "train is not below costs"),
        ("sluicegate/recipes/dlcg.py", "from sluicegate import gate_model", "__init__ is not below recipes"),
        ("sluicegate/data/sources.py", "def late():\n    import sluicegate.gates", "data stands alone"),
        ("sluicegate/nets/build.py", "import torchvision.models", "torchvision is optional"),
        ("sluicegate/utils/text.py", "import os", "utils has no line in the table"),
        ("sluicegate_runtime/session.py", "import torch.nn", "the runtime does without torch"),
        ("sluicegate_runtime/session.py", "import sluicegate.errors", "the runtime does without sluicegate"),
        ("sluicegate/train/run.py", "import sluicegate_command", "the command stands above"),
        ("sluicegate_command/__init__.py", "from sluicegate.errors import InputError", "the command only hands over"),
        ("sluicegate_command/__init__.py", "def late():\n    import numpy", "the command only hands over"),
    ],
)
def test_a_planted_breach_is_reported(tmp_path: Path, file: str, statement: str, reason: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    (found,) = breaches(tmp_path)
    assert found.startswith(f"{file}: ") and reason in found


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("sluicegate/costs/macs.py", "from sluicegate.gates import GateRecords"),
        ("sluicegate/costs/macs.py", "from .latency import table"),
        ("sluicegate/gates/gate.py", "from ..errors import InputError"),
        ("sluicegate/lowering/lower.py", "import sluicegate_runtime, torch"),
        ("sluicegate/__init__.py", "from sluicegate.convert import gate_model as gate_model"),
        ("sluicegate_runtime/session.py", "import numpy\nfrom .program import Program"),
        ("sluicegate_command/__init__.py", "def late():\n    from sluicegate.cli import main"),
    ],
)
def test_an_allowed_import_is_not(tmp_path: Path, file: str, statement: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert breaches(tmp_path) == []
