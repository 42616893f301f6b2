"""Measures a program's latency table on the machine at hand.

Ops are timed in the running program, so that caches and threads are as in real use; the decisions of the gates are
replaced. Exits are taken out. A gate with ops that run if it is closed, such as an exit's classifier, stays closed.

With n shares, n prime, pass (i, j) opens a gate of colour c to share number (i + c j) mod n. For two gates of different
colours every pair of shares occurs once in the n^2 passes (Bose's orthogonal array). Gates are coloured so that the two
sides of an op differ. Colours from the n-th on add a multiple of j^2, and then pairs do not occur equally often. In
that case, or if a side of an op mixes several gates, some cells of the grid are not measured; then
a + b in + c out + d in out is fitted to the others. The overhead is the time of a run minus that of its ops, with
almost nothing open: a difference of small numbers.

Legend: N images, G gates of a site, n shares, P passes.
"""

import dataclasses
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product, takewhile

import numpy as np

from .artifact import Artifact
from .autotune import digest, processor
from .errors import InputError
from .latency import SHARES, LatencyTable, OpLatency, Weights
from .ops import room_of
from .plain import without_gates
from .program import Op, Program
from .session import Session
from .timing import PAUSE, TURN, benchmark, warm_up

ROUNDS = 9  # of all passes
EXIT = 0.0  # milliseconds of an exit by itself, which computes nothing

Pattern = Mapping[str, np.ndarray]  # gate -> [G], whether open
Profile = Mapping[str, tuple[float, int]]  # as `Session.profile` has it
Pass = Mapping[str, int]  # gate -> the number of its share


def measure_latency(artifact: Artifact, threads: int = 2, tune: bool = False) -> LatencyTable:
    """Measure a program's table, in some hundred runs of the program.

    Raises:
        InputError: it has no gates, or an op that needs some gates open and others closed that elsewhere must be open.

        table = measure_latency(load_program("net.sluice"), threads=1)
    """
    program = artifact.program
    gates, design, images = _gates(program), _design(program), _noise(program)
    session, plain = Session(_staying(artifact), threads, tune), Session(without_gates(artifact), threads, tune)
    patterns = [{name: _evenly(gates[name], SHARES[k]) for name, k in one.items()} for one in design]
    _, unless = _decisive(program)
    closed = {name: np.full(size, False) for name, size in gates.items()}
    others = {name: np.full(size, name in unless) for name, size in gates.items()}  # what runs unless they are open
    all_open = {name: np.full(size, True) for name, size in gates.items()}
    least = {name: flags[0] for name, flags in session.run(images[:1], threshold=1.0).gates.items()}
    profiles, (whole, dense) = _rounds(session, plain, images, [*patterns, closed, others, least])
    *opened, without_layers, without_others, own = map(_typical, profiles)
    skipped = [without_layers, without_others]
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
    ops = tuple(op for op in artifact.program.ops if not room_of(op).ends)
    return dataclasses.replace(artifact, program=dataclasses.replace(artifact.program, ops=ops))


def _gates(program: Program) -> dict[str, int]:
    """Gate -> G."""
    if not program.gates:
        raise InputError("table: the program has no gates, so it takes the same time for every image")
    return program.gates


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
        for name, taken in benchmark(runs, list(images[:, None]), TURN).items():
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
    design: Sequence[Pass],
    opened: Sequence[Mapping[str, float]],
    skipped: Sequence[Mapping[str, float]],
) -> OpLatency:
    reads, writes = _sides(program, op)
    ran = _passes(program, op, design)
    taken = [opened[k].get(op.name, EXIT) for k in ran]
    cells = [(_share(reads, design[k]), _share(writes, design[k])) for k in ran]
    before = takewhile(lambda one: one.name != op.name, program.ops)
    layers, unless = _region(program, op)
    return OpLatency(
        reads,
        writes,
        open=_grid(cells, taken, bool(reads), bool(writes)),
        closed=skipped[0 if layers else 1].get(op.name, EXIT),
        layers=layers,
        unless=unless,
        exits=_exits(before),
    )


def _passes(program: Program, op: Op, design: Sequence[Pass]) -> list[int]:
    """The passes in which its gates let an op run."""
    layers, unless = _region(program, op)
    return [
        k
        for k, shares in enumerate(design)
        if all(shares[gate] for gate in layers) and not any(shares[gate] for gate in unless)
    ]


def _share(gates: Weights, shares: Pass) -> float:
    """The open share of a side in one pass."""
    return sum(weight * SHARES[shares[gate]] for gate, weight in gates.items())


def _grid(
    cells: Sequence[tuple[float, float]], taken: Sequence[float], reads: bool, writes: bool
) -> tuple[tuple[float, ...], ...]:
    """The times by shares: means of what was measured there, or where some are missing what is fitted to them all."""
    found: dict[tuple[float, float], list[float]] = defaultdict(list)
    for cell, ms in zip(cells, taken, strict=True):
        found[cell].append(ms)
    rows, columns = (SHARES if gated else (0.0,) for gated in (reads, writes))
    if all((i, j) in found for i in rows for j in columns):
        return tuple(tuple(statistics.fmean(found[i, j]) for j in columns) for i in rows)
    terms = np.array([(1, i, j, i * j) for i, j in cells])  # [P, 4]
    factors, *_ = np.linalg.lstsq(terms, np.array(taken), rcond=None)
    return tuple(tuple(max(0.0, float(factors @ (1, i, j, i * j))) for j in columns) for i in rows)


def _design(program: Program) -> list[Pass]:
    """The passes: gate -> number of its share. In all of them gates that let ops run do so; one that lets some run
    where it is open and others where it is closed is open in half of them."""
    n, colours, (when, unless) = len(SHARES), _colours(program), _decisive(program)
    fixed = {gate: 0 if gate in unless else n - 1 for gate in program.gates if gate not in colours}
    passes: list[Pass] = [
        {gate: _level(colour, i, j) for gate, colour in colours.items()} | fixed for i, j in product(range(n), repeat=2)
    ]
    opposite = dict.fromkeys(when & unless, n - 1)
    passes += [{**one, **opposite} for one in passes if opposite]
    for op in program.ops:
        if not _passes(program, op, passes):
            raise InputError(f"table: op {op.name!r} needs gates open and others closed that cannot be set together")
    return passes


def _level(colour: int, i: int, j: int) -> int:
    n = len(SHARES)
    return (i + colour % n * j + colour // n * j * j) % n


def _decisive(program: Program) -> tuple[set[str], set[str]]:
    """The gates that let ops run where they are open, and those that do where they are closed."""
    return {gate for op in program.ops for gate in op.when}, {gate for op in program.ops for gate in op.unless}


def _colours(program: Program) -> dict[str, int]:
    """Channel gate -> a number that differs from those of the gates that it meets on the other side of an op; where
    none of n^2 is left, the one that is least among them."""
    near: dict[str, set[str]] = defaultdict(set)
    for op in program.ops:
        reads, writes = _sides(program, op)
        for gate in (*reads, *writes):
            near[gate] |= set(writes if gate in reads else reads) - {gate}
    colours: dict[str, int] = {}
    for gate, others in near.items():
        taken = Counter(colours[other] for other in others if other in colours)
        colours[gate] = min(range(len(SHARES) ** 2), key=lambda colour: (taken[colour], colour))
    return colours


def _sides(program: Program, op: Op) -> tuple[Weights, Weights]:
    """The gates of what an op reads and of what it writes; the second only where they are others."""
    output = _map(program, op.output) if op.output else []
    maps = [_map(program, name) for name in op.inputs]
    reads = [owner for read in maps if read != output for owner in read]  # a residual is closed as what is written
    reads = reads or [owner for read in maps[:1] for owner in read]
    sides = _weights(program, reads), _weights(program, output)
    return sides[0], sides[1] if sides[1] != sides[0] else {}


def _map(program: Program, name: str) -> list[str | None]:
    """The gate of each channel."""
    value = next(value for value in program.values if value.name == name)
    if not value.channels:
        return [None] * value.shape[0]
    return [owner and owner[0] for run in value.channels for owner in run.owners()]


def _weights(program: Program, gates: Sequence[str | None]) -> Weights:
    """Of gated channels, the share of each gate; layer gates do not count, as they let all of them through or none."""
    layers = set.union(*_decisive(program))
    counts = Counter(gate for gate in gates if gate is not None and gate not in layers)
    return {gate: count / counts.total() for gate, count in counts.items()}


def _region(program: Program, op: Op) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The gates that must be open for an op to run, the innermost first, and those that must be closed."""
    makes = {one.output: one for one in program.ops}
    layers, unless = list(op.when), list(op.unless)
    for gate in op.when:
        outer = _region(program, makes[gate])
        layers += outer[0]
        unless += outer[1]
    return tuple(dict.fromkeys(layers)), tuple(dict.fromkeys(unless))


def _exits(ops: Iterable[Op]) -> tuple[str, ...]:
    """The gates of the exits among them."""
    return tuple(op.inputs[1] for op in ops if room_of(op).ends)


def _evenly(count: int, share: float) -> np.ndarray:
    """[G]: this share of the gates open, in whole gates, as far apart as they can be."""
    steps = np.arange(count + 1) * round(share * count) // count
    return np.diff(steps) > 0
