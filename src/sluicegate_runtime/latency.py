"""Milliseconds of a program as a function of what its gates leave open, measured on the machine at hand.

    ms = overhead + sum over ops of   0                where the image has left at an exit before the op,
                                      closed           where a layer gate skips it,
                                      open[in, out]    else

in and out are the shares of open channels of what an op reads and of what it writes; `open` is known at a grid of
shares and bilinear in between.

Ops are timed in the running program, where caches and threads are as they are in use; what the gates decide is
replaced, and exits are taken out: an exit's gate does no more than let its classifier run. With n shares, n prime, pass
(i, j) opens a gate of colour c to share number (i + c j) mod n: of two gates of different colours every pair of shares
comes up once in the n^2 passes (Bose's orthogonal array). Gates are coloured so that the two sides of an op differ. The
overhead is what a run takes beyond its ops where next to nothing is open: a difference of small numbers.

Legend: N images, G gates of a site.
"""

import dataclasses
import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from .artifact import Artifact
from .autotune import digest, processor
from .dense import dense_program
from .errors import InputError, one_line
from .program import Op, Program
from .session import Session
from .timing import PAUSE, TURN, time_in_turns, warm_up

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # a prime number of them
ROUNDS = 9  # of all passes
EXIT = 0.0  # milliseconds of an exit by itself, which computes nothing
FORMAT = "sluicegate latency table 1"

Pattern = Mapping[str, np.ndarray]  # gate -> [G], whether open
Profile = Mapping[str, tuple[float, int]]  # as `Session.profile` has it


@dataclass(frozen=True)
class OpLatency:
    """Milliseconds of one op.

    Attributes:
        reads: the gate that closes channels of what it reads, if one does.
        writes: the gate that closes channels of what it writes, if another one does.
        layers: the layer gates, or those of exits, that must all be open for it to run.
        open: by share of what it reads, by share of what it writes; one row, or one column, where no gate has a say.
        closed: where one of `layers` is closed.
        exits: the gates of the exits before it, at all of which an image must stay for it to be reached.
    """

    reads: str | None
    writes: str | None
    layers: tuple[str, ...]
    open: tuple[tuple[float, ...], ...]
    closed: float
    exits: tuple[str, ...] = ()


@dataclass(frozen=True)
class LatencyTable:
    """A program's milliseconds for one image, on one machine.

    Attributes:
        program: digest of the program, whatever its weights.
        machine, isa, threads: what it was measured on, and how.
        gates: gate -> G.
        macs: of an image for which every gate is open, and that takes no exit.
        dense: milliseconds of the same network without its gates.
        overhead: milliseconds of a run that are no op's.
        ops: by name, in the order of the program.
        came_from: command and versions.
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

    def milliseconds(self, gates: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of each image: name -> [N, G] decisions, as `Result.gates` has them -> [N]."""
        shares = {name: np.asarray(gates[name], np.float64).mean(1) for name in self.gates}
        total = np.full(len(next(iter(shares.values()))), self.overhead)
        for op in self.ops.values():
            reached = math.prod(1 - shares[leave] for leave in op.exits)
            runs = math.prod(shares[layer] for layer in op.layers)
            total = total + reached * (op.closed + runs * (_between(op, shares) - op.closed))
        return total

    def check(self, session: Session) -> None:
        """InputError unless the table is of this session: its program, machine, instruction set and threads."""
        here = {
            "program": digest(session.program),
            "machine": processor(),
            "isa": session.isa,
            "threads": session.threads,
        }
        for name, found in here.items():
            if (known := getattr(self, name)) != found:
                raise InputError(f"table: its {name} is {known!r}, here it is {found!r}; 'profile' measures one")

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)


def read_table(path: str | os.PathLike[str]) -> LatencyTable:
    """The table in a file.

    Raises:
        InputError: it cannot be read, or holds no latency table.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if document.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        ops = {name: _op(**op) for name, op in document.pop("ops").items()}
        return _verified(LatencyTable(ops=ops, **document))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"table: {str(path)!r} is no latency table: {one_line(error)}") from error


def _op(open: Sequence[Sequence[float]], layers: Sequence[str], exits: Sequence[str] = (), **others: Any) -> OpLatency:
    grid = tuple(tuple(map(float, row)) for row in open)
    return OpLatency(open=grid, layers=tuple(layers), exits=tuple(exits), **others)


def _verified(table: LatencyTable) -> LatencyTable:
    for name, op in table.ops.items():
        unknown = {op.reads, op.writes, *op.layers, *op.exits} - {None, *table.gates}
        if unknown:
            raise ValueError(f"op {name!r} names {min(map(str, unknown))!r}, which is none of its gates")
        rows, columns = (len(SHARES) if gate else 1 for gate in (op.reads, op.writes))
        if len(op.open) != rows or any(len(row) != columns for row in op.open):
            raise ValueError(f"op {name!r} needs {rows} x {columns} times")
    return table


def _between(op: OpLatency, shares: Mapping[str, np.ndarray]) -> Any:
    """[N], or a number where no gate has a say: bilinear."""
    grid = np.array(op.open)
    ends = [_ends(gate, shares) for gate in (op.reads, op.writes)]
    return sum(grid[i, j] * part_in * part_out for (i, part_in), (j, part_out) in product(*ends))


def _ends(gate: str | None, shares: Mapping[str, np.ndarray]) -> list[tuple[Any, Any]]:
    """The knots around a gate's share on its axis, and how much each counts."""
    if gate is None:
        return [(0, 1.0)]
    position = shares[gate] * (len(SHARES) - 1)
    low = np.minimum(position.astype(np.int64), len(SHARES) - 2)
    return [(low, 1 - (position - low)), (low + 1, position - low)]


def measure_latency(artifact: Artifact, threads: int = 2, tune: bool = False) -> LatencyTable:
    """Measure a program's table; takes some hundred runs of it.

    Raises:
        InputError: it has no gates, or one that shares ops with too many others, or an exit's that closes
            channels besides.
    """
    program = artifact.program
    gates, design, images = _gates(program), _design(program), _noise(program)
    session, plain = Session(_staying(artifact), threads, tune), Session(dense_program(artifact), threads, tune)
    patterns = [{name: _evenly(gates[name], SHARES[k]) for name, k in one.items()} for one in design]
    closed = {name: np.full(size, False) for name, size in gates.items()}
    all_open = {name: np.full(size, name not in _exits(program.ops)) for name, size in gates.items()}
    least = {name: flags[0] for name, flags in session.run(images[:1], threshold=1.0).gates.items()}
    profiles, (whole, dense) = _rounds(session, plain, images, [*patterns, closed, least])
    *opened, skipped, own = map(_typical, profiles)
    return LatencyTable(
        program=digest(program),
        machine=processor(),
        isa=session.isa,
        threads=threads,
        gates=gates,
        macs=sum(macs for _, macs in session.profile(images[0], 1, all_open).values()),
        dense=dense,
        overhead=whole - sum(own.values()),
        ops={op.name: _op_latency(program, op, design, opened, skipped) for op in program.ops},
    )


def _staying(artifact: Artifact) -> Artifact:
    """The program without its exits, in which every image comes to every op."""
    ops = tuple(op for op in artifact.program.ops if op.kind != "exit")
    return dataclasses.replace(artifact, program=dataclasses.replace(artifact.program, ops=ops))


def _gates(program: Program) -> dict[str, int]:
    """Gate -> G."""
    gates = {value.name: value.shape[0] for value in program.values if value.kind == "gate"}
    if not gates:
        raise InputError("table: the program has no gates, so it takes the same time for every image")
    return gates


def _noise(program: Program) -> np.ndarray:
    """[N, C, H, W]: the images of a turn."""
    shape = program.shape(program.input)
    return np.random.default_rng(0).standard_normal((TURN, *shape), np.float32)


def _rounds(
    session: Session, plain: Session, images: np.ndarray, patterns: Sequence[Pattern]
) -> tuple[list[list[Profile]], list[float]]:
    """Profiles under each pattern, and milliseconds of whole runs: of the session with next to nothing open, and dense.
    They are taken round by round, so that a machine that slows down slows all of them."""
    profiles: list[list[Profile]] = [[] for _ in patterns]
    runs = {"closed": partial(session.run, threshold=1.0), "dense": plain.run}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for found, pattern in zip(profiles, patterns, strict=True):
            found += _turn(session, images, pattern)
        for name, taken in time_in_turns(runs, list(images[:, None]), TURN).items():
            seconds[name] += taken
    return profiles, [1e3 * statistics.median(taken) for taken in seconds.values()]


def _typical(profiles: Sequence[Profile]) -> dict[str, float]:
    """Means over the middle half of the profiles, by their totals: what disturbs a run is left out, and unlike medians
    the times of ops add up to that of the whole."""
    ordered = sorted(profiles, key=lambda profile: sum(ms for ms, _ in profile.values()))
    middle = ordered[len(ordered) // 4 : -(len(ordered) // 4)]
    return {op: statistics.fmean(profile[op][0] for profile in middle) for op in middle[0]}


def _turn(session: Session, images: np.ndarray, pattern: Pattern) -> list[Profile]:
    """As `timing` takes turns: which channels are open changes with every image, how many does not."""
    time.sleep(PAUSE)
    warm_up(lambda image: session.profile(image, 1, pattern), list(images))
    return [session.profile(image, 1, _rolled(pattern, by)) for by, image in enumerate(images)]


def _rolled(pattern: Pattern, by: int) -> Pattern:
    return {name: np.roll(flags, by) for name, flags in pattern.items()}


def _op_latency(
    program: Program,
    op: Op,
    design: Sequence[Mapping[str, int]],
    opened: Sequence[Mapping[str, float]],
    skipped: Mapping[str, float],
) -> OpLatency:
    reads, writes = _sides(program, op)
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    for shares, ms in zip(design, opened, strict=True):
        cells[shares[reads] if reads else 0, shares[writes] if writes else 0].append(ms.get(op.name, EXIT))
    rows, columns = (range(len(SHARES) if gate else 1) for gate in (reads, writes))
    grid = tuple(tuple(statistics.fmean(cells[i, j]) for j in columns) for i in rows)
    before = takewhile(lambda one: one.name != op.name, program.ops)
    return OpLatency(reads, writes, _layers_around(program, op), grid, skipped.get(op.name, EXIT), _exits(before))


def _design(program: Program) -> list[dict[str, int]]:
    """The passes: gate -> number of its share; in all of them layer gates and those of exits are open."""
    n, colours, exits = len(SHARES), _colours(program), _exits(program.ops)
    if busy := set(colours).intersection(exits):
        raise InputError(f"table: gate {min(busy)!r} is an exit's, and closes channels besides")
    gates = [value.name for value in program.values if value.kind == "gate" and value.name not in colours]
    fixed = dict.fromkeys(gates, n - 1)
    return [
        {gate: (i + colour * j) % n for gate, colour in colours.items()} | fixed for i, j in product(range(n), repeat=2)
    ]


def _colours(program: Program) -> dict[str, int]:
    """Channel gate -> a number that differs from those of the gates that it shares an op with."""
    near: dict[str, set[str]] = {value.gate: set() for value in program.values if value.gate}
    for op in program.ops:
        reads, writes = _sides(program, op)
        if reads and writes:
            near[reads].add(writes)
            near[writes].add(reads)
    colours: dict[str, int] = {}
    for gate, others in near.items():
        taken = {colours.get(other) for other in others}
        colours[gate] = next(colour for colour in count() if colour not in taken)
        if colours[gate] >= len(SHARES):
            raise InputError(f"table: gate {gate!r} shares ops with {len(others)} others, more than {len(SHARES) - 1}")
    return colours


def _sides(program: Program, op: Op) -> tuple[str | None, str | None]:
    """The gates of what an op reads and of what it writes; the second only if it is another one."""
    gates = {value.name: value.gate for value in program.values}
    reads = next((gates[name] for name in op.inputs if gates[name]), None)
    writes = gates[op.output] if op.output else None
    return reads, writes if writes != reads else None


def _layers_around(program: Program, op: Op) -> tuple[str, ...]:
    """The layer gates that skip an op, the innermost first."""
    decides = {one.output: one for one in program.ops if one.kind == "gate"}
    return (op.when, *_layers_around(program, decides[op.when])) if op.when else ()


def _exits(ops: Iterable[Op]) -> tuple[str, ...]:
    """The gates of the exits among them."""
    return tuple(op.inputs[1] for op in ops if op.kind == "exit")


def _evenly(count: int, share: float) -> np.ndarray:
    """[G]: this share of the gates open, in whole gates, as far apart as they can be."""
    steps = np.arange(count + 1) * round(share * count) // count
    return np.diff(steps) > 0
