"""Runs one op by its NumPy definition, for tests that say what it should give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from conformance.builder import Builder, Gating

from sluicegate_runtime import Result, run_reference

Flags = Sequence[bool]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run_op(
    kind: str,
    *inputs: np.ndarray,
    tensors: dict[str, np.ndarray] | None = None,
    flags: Flags | None = None,
    reads: Any = None,
    writes: Gating = None,
    **attributes: Any,
) -> Result:
    """The result of one op of that kind on these arrays; there is one output, with no channel gated.

    Args:
        kind, tensors, attributes: of the op.
        inputs: vectors (F,) or planes (C, H, W).
        flags: what a gate "g" says, if there is one.
        reads: the channel maps of the inputs, or that of the first, over "g".
        writes: the map of its output.
    """
    b = Builder(np.random.default_rng(0))
    image = b.value((1, 1, 1))
    gates = {"g": b.fixed(flags)} if flags is not None else {}
    maps = reads if isinstance(reads, list) and not _is_map(reads) else [reads]
    names = [b.stored(array) for array in inputs]
    for i, owners in enumerate(maps):
        if owners is not None:
            names[i] = b.op("select", [names[i]], inputs[i].shape, _named(owners, gates))
    y = b.make(kind, names, _named(writes, gates), tensors, **attributes)
    y = b.op("select", [y], b.shape(y)) if writes is not None else y
    return run_reference(b.program(image, y), b.tensors, np.zeros((1, 1, 1, 1), np.float32))


def _is_map(owners: Sequence[Any]) -> bool:
    return all(owner is None or isinstance(owner, tuple) for owner in owners) and any(owners)


def _named(owners: Gating, gates: dict[str, str]) -> Gating:
    """The map with gates called as the program calls them."""
    if owners is None or isinstance(owners, str):
        return owners and gates[owners]
    return [owner and (gates[owner[0]], owner[1]) for owner in owners]


def open_channels(count: int, *closed: int) -> list[bool]:
    """So many flags, open but for these."""
    return [i not in closed for i in range(count)]
