"""Milliseconds of a program as a function of the open gates.

    ms = overhead + sum over ops of   0                if the image has left at an exit before the op,
                                      closed           if the op's gates skip it,
                                      open[in, out]    otherwise

in is the share of open channels in the op's input, out in its output; only channels that a gate can close are counted.
`open` is measured on a grid of shares and is bilinear in between. `measure.py` measures such a table.

Legend: N images, G gates of a site.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .autotune import digest, processor
from .errors import InputError, one_line
from .session import Session

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # a prime number of them
FORMAT = "sluicegate latency table 2"

Weights = Mapping[str, float]  # gate -> how much its share counts; they add up to 1


@dataclass(frozen=True)
class OpLatency:
    """Milliseconds of one op.

    Attributes:
        reads: the share of each gate in the gated channels of its input; empty if it has none.
        writes: the same for its output; also empty if these are the channels of its input.
        open: milliseconds by open share of the input (rows) and of the output (columns); a single row or column if no
            gate acts on that side.
        closed: milliseconds if its gates skip it.
        layers: gates that must all be open for it to run.
        unless: gates that must all be closed for it to run.
        exits: gates of the exits before it; all must be open for the image to reach it.
    """

    reads: Weights
    writes: Weights
    open: tuple[tuple[float, ...], ...]
    closed: float
    layers: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    exits: tuple[str, ...] = ()


@dataclass(frozen=True)
class LatencyTable:
    """A program's milliseconds for one image, on one machine.

    Attributes:
        program: digest of the program; weights and thresholds do not matter.
        machine, isa, threads: of the measurement.
        gates: gate -> G.
        macs: of an image with every gate open.
        dense: milliseconds of the same network without its gates.
        overhead: milliseconds of a run outside of its ops.
        ops: by name, in the order of the program.
        came_from: command and versions.

        table = LatencyTable.load("table.json")
        table.milliseconds(session.run(images).gates)  # [N]
    """

    program: str
    machine: str
    isa: str
    threads: int
    gates: Mapping[str, int]
    macs: int
    dense: float
    overhead: float
    ops: Mapping[str, OpLatency]
    came_from: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "LatencyTable":
        """The table in a file. InputError if it cannot be read, or holds no latency table."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            if document.pop("format", None) != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            ops = {name: _op(**op) for name, op in document.pop("ops").items()}
            return _verified(LatencyTable(ops=ops, **document))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError(f"table: {str(path)!r} is no latency table: {one_line(error)}") from error

    def milliseconds(self, gates: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of each image: name -> [N, G] decisions, as `Result.gates` has them -> [N]."""
        shares = {name: np.asarray(gates[name], np.float64).mean(1) for name in self.gates}
        total = np.full(len(next(iter(shares.values()))), self.overhead)
        for op in self.ops.values():
            reached = math.prod(shares[gate] for gate in op.exits)
            runs = math.prod(shares[gate] for gate in op.layers) * math.prod(1 - shares[gate] for gate in op.unless)
            total = total + reached * (op.closed + runs * (_between(op, shares) - op.closed))
        return total

    def check(self, session: Session) -> None:
        """InputError unless the table fits this session: program, machine, instruction set and threads."""
        here = {
            "program": digest(session.program),
            "machine": processor(),
            "isa": session.isa,
            "threads": session.threads,
        }
        for name, found in here.items():
            if (known := getattr(self, name)) != found:
                raise InputError(
                    f"table: its {name} is {known!r}, here it is {found!r}; measure a new one with 'profile'"
                )

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)


def _op(
    open: Sequence[Sequence[float]], layers: Sequence[str], unless: Sequence[str], exits: Sequence[str], **others: Any
) -> OpLatency:
    grid = tuple(tuple(map(float, row)) for row in open)
    return OpLatency(open=grid, layers=tuple(layers), unless=tuple(unless), exits=tuple(exits), **others)


def _verified(table: LatencyTable) -> LatencyTable:
    for name, op in table.ops.items():
        unknown = {*op.reads, *op.writes, *op.layers, *op.unless, *op.exits} - {*table.gates}
        if unknown:
            raise ValueError(f"op {name!r} names {min(map(str, unknown))!r}, which is none of its gates")
        rows, columns = (len(SHARES) if gates else 1 for gates in (op.reads, op.writes))
        if len(op.open) != rows or any(len(row) != columns for row in op.open):
            raise ValueError(f"op {name!r} needs {rows} x {columns} times")
        for gates in (op.reads, op.writes):
            if gates and not math.isclose(sum(gates.values()), 1, rel_tol=1e-6):
                raise ValueError(f"op {name!r}: the weights of its gates do not add up to 1")
    return table


def _between(op: OpLatency, shares: Mapping[str, np.ndarray]) -> Any:
    """[N], or a number where no gate has a say: bilinear."""
    grid = np.array(op.open)
    ends = [_ends(gates, shares) for gates in (op.reads, op.writes)]
    return sum(grid[i, j] * part_in * part_out for (i, part_in), (j, part_out) in product(*ends))


def _ends(gates: Weights, shares: Mapping[str, np.ndarray]) -> list[tuple[Any, Any]]:
    """The knots around the open share on an axis, and how much each counts."""
    if not gates:
        return [(0, 1.0)]
    share = sum(weight * shares[gate] for gate, weight in gates.items())
    position = np.clip(share, 0, 1) * (len(SHARES) - 1)
    low = np.minimum(position.astype(np.int64), len(SHARES) - 2)
    return [(low, 1 - (position - low)), (low + 1, position - low)]
