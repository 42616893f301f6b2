"""Includes run one way in csrc/: bindings, fuzz -> engine -> ops -> kernels, and Python stays in bindings/.

What is compiled with ISA flags includes only kernel_table.h, templates, C headers and intrinsics: an inline function of
the standard library would be emitted with those flags, and the linker may keep that copy for the baseline.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "csrc"
INCLUDE = re.compile(r'^#include ([<"])([^>"]+)[>"]', re.MULTILINE)

# "": csrc itself; a layer includes itself and what stands before it
LAYERS = ("kernels", "ops", "", "bindings", "fuzz")
SHARED = {"arena.h", "plan.h", "program.h", "thread_pool.h"}  # of csrc itself, below ops
ISA_FOLDERS = {"portable", "avx2", "avx512", "templates"}
ISA_HEADERS = {"immintrin.h", "math.h", "string.h", "stddef.h", "stdint.h"}


def breaches(root: Path) -> Iterator[str]:
    """One line for every include that goes the wrong way."""
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".h", ".cpp", ".inc"):
            continue
        for bracket, name in INCLUDE.findall(path.read_text()):
            why = system_breach(path, root, name) if bracket == "<" else own_breach(path, root, name)
            if why:
                yield f"{path.relative_to(root)} includes {name}: {why}"


def system_breach(path: Path, root: Path, name: str) -> str | None:
    if path.parent.name in ISA_FOLDERS and name not in ISA_HEADERS:
        return "compiled with ISA flags"
    if name.startswith(("nanobind", "Python")) and path.parent.name != "bindings":
        return "Python stays in bindings"
    return None


def own_breach(path: Path, root: Path, name: str) -> str | None:
    target = (path.parent / name).resolve().relative_to(root.resolve()).parts
    place = path.relative_to(root).parts
    if place[0] == "kernels" and place[1] in ISA_FOLDERS:
        allowed = target[0] == "kernels" and (target[1] in (*ISA_FOLDERS, "kernel_table.h", "kernels.inc"))
        return None if allowed else "compiled with ISA flags"
    if len(target) == 1 and target[0] in SHARED:
        return None if place[0] != "kernels" else "kernels stand at the bottom"
    return None if layer(target) <= layer(place) else "includes run one way"


def layer(place: tuple[str, ...]) -> int:
    return LAYERS.index(place[0] if len(place) > 1 else "")


def test_includes_run_one_way():
    assert list(breaches(NATIVE)) == []


@pytest.mark.parametrize(
    ("path", "include"),
    [
        ("kernels/avx512/kernels.cpp", "<vector>"),
        ("kernels/avx2/vector.h", '"../dispatch.h"'),
        ("kernels/templates/tiles.inc", "<algorithm>"),
        ("kernels/dispatch.cpp", '"../engine.h"'),
        ("kernels/dispatch.cpp", '"../arena.h"'),
        ("ops/pool.cpp", '"../engine.h"'),
        ("engine.cpp", "<nanobind/nanobind.h>"),
        ("engine.h", '"bindings/module.cpp"'),
        ("engine.h", '"fuzz/case.h"'),
    ],
)
def test_a_planted_breach_is_reported(tmp_path, path, include):
    planted = tmp_path / path
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(f"#include {include}\n")
    assert len(list(breaches(tmp_path))) == 1


def test_every_kernel_has_its_row():
    """Whatever a template offers is in kernels.inc, and each row has a struct in kernel_table.h and a benchmark."""
    rows = dict(
        re.findall(r"^SLUICE_KERNEL\((\w+), (\w+)\)", (NATIVE / "kernels/kernels.inc").read_text(), re.MULTILINE)
    )
    table = (NATIVE / "kernels/kernel_table.h").read_text()
    assert all(f"struct {arguments} {{" in table for arguments in rows.values())
    workloads = "".join(path.read_text() for path in (NATIVE / "kernels").glob("*_workloads.h"))
    assert all(f"struct Workload<{arguments}> {{" in workloads for arguments in rows.values())
    templates = "".join(path.read_text() for path in (NATIVE / "kernels/templates").glob("*.inc"))
    offered = re.findall(r"^static void (\w+)\(const (\w+)& \w\)", templates, re.MULTILINE)
    assert {name: arguments for name, arguments in offered if arguments in rows.values()} == rows
