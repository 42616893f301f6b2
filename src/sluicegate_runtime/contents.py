"""What is in a `.sluice` file, in words: `sluicegate info net.sluice`.

    file                   net.sluice, 1.14 MB, 279,498 parameters
    input                  3 x 32 x 32
    output                 10
    MACs without gates     40,551,040
    gates                  336 (sites: 9)
    ...

Shapes leave out the number of images.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .artifact import Artifact, load_program
from .plain import without_gates
from .program import Op, Program
from .session import Session


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file holds, as plain values.

    Returns:
        `file`, `bytes`, `parameters` (numbers in its tensors), `input` (its shape), `outputs` (name -> shape),
        `classes`, `preprocessing` (or None), `dense_macs` (of an image, without gates), `gates` (site -> how many),
        `ops` (a list of `name`, `kind`, `inputs`, `output`, `shape`, `when`).

    Raises:
        InputError: the file is refused.

        describe("net.sluice")["dense_macs"]
    """
    artifact = load_program(path)
    program = artifact.program
    how = program.preprocessing
    return {
        "file": os.fspath(path),
        "bytes": Path(path).stat().st_size,
        "parameters": sum(tensor.size for tensor in artifact.tensors.values()),
        "input": list(program.shape(program.input)),
        "outputs": {name: list(program.shape(value)) for name, value in program.outputs.items()},
        "classes": list(program.classes),
        "preprocessing": how and {"resize": how.resize, "crop": how.crop, "mean": how.mean, "std": how.std},
        "dense_macs": _dense_macs(artifact),
        "gates": program.gates,
        "ops": [_op(op, program) for op in program.ops],
    }


def _dense_macs(artifact: Artifact) -> int:
    plain = without_gates(artifact)
    nothing = np.zeros((1, *plain.program.shape(plain.program.input)), np.float32)
    return int(Session(plain, threads=1).run(nothing).macs[0])


def _op(op: Op, program: Program) -> dict[str, Any]:
    shape = [] if op.output is None else list(program.shape(op.output))
    inputs = list(op.inputs)
    return {"name": op.name, "kind": op.kind, "inputs": inputs, "output": op.output, "shape": shape, "when": op.when}


def in_words(found: Mapping[str, Any], ops: bool = False) -> Iterator[str]:
    """The lines that `info` prints of what `describe` found; `ops`: one for each op, too."""
    gates = found["gates"]
    kinds = Counter(op["kind"] for op in found["ops"])
    yield line("file", f"{found['file']}, {found['bytes'] / 1e6:.2f} MB, {found['parameters']:,} parameters")
    yield line("input", sides(found["input"]))
    for name, shape in found["outputs"].items():
        yield line(name, sides(shape))
    yield line("classes", ", ".join(found["classes"]) or "not named")
    yield line("preprocessing", _preprocessing(found["preprocessing"]))
    yield line("MACs without gates", f"{found['dense_macs']:,}")
    yield line("gates", f"{sum(gates.values()):,} (sites: {len(gates)})" if gates else "none")
    yield line("ops", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    for op in found["ops"] if ops else ():
        when = f"  when {', '.join(op['when'])}" if op["when"] else ""
        yield f"  {op['kind']:<16} {sides(op['shape']):<16} {op['name']}{when}"


def line(name: str, text: str) -> str:
    """A name and what is to be said of it, in two columns."""
    return f"{name:<22} {text}"


def sides(shape: Sequence[int]) -> str:
    """A shape, as 3 x 32 x 32."""
    return " x ".join(map(str, shape))


def _preprocessing(how: Mapping[str, Any] | None) -> str:
    if how is None:
        return "not known; predict asks for --preprocessing"
    return ", ".join(f"{key} {value}" for key, value in how.items() if value) or "pixels from 0 to 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("target", type=Path, metavar="FILE|RUN", help=".sluice file, or a run folder")
    parser.add_argument("--ops", action="store_true", help="a line for each op of a file")


def command(options: Any) -> None:
    """Run the command on a file: `options` has what `add_arguments` names, and `json`."""
    found = describe(options.target)
    print(json.dumps(found) if options.json else "\n".join(in_words(found, options.ops)))
