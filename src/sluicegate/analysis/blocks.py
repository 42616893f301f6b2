"""Where the time goes: milliseconds and MACs of each block of a network in the engine, with its gates and without.

Ops whose names begin alike form a block: `layer1_0_relu1` and `layer1_0_relu2` belong to `layer1_0`. Ops that only the
gated network has are the work of its gates.

Legend: n images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sluicegate_runtime import Artifact, Op, Session, without_gates

DECIDING = "deciding (gates)"
MOST = 30  # blocks that are told apart


def block_table(artifact: Artifact, images: np.ndarray, threads: int = 1, repeats: int = 5) -> pd.DataFrame:
    """A row for each block and network: `block`, `network` ("gated" or "dense"), `ms` (median) and `macs` (mean) of one
    image, over `images` [n, C, H, W] and `repeats` runs of each."""
    sessions = {"gated": Session(artifact, threads), "dense": Session(without_gates(artifact), threads)}
    plain = sessions["dense"].program.ops
    block_of = blocks([op.name for op in plain]) | {op.name: _said(op) for op in plain if "_" not in op.name}
    rows = []
    for network, session in sessions.items():
        for op, (ms, macs) in _profile(session, images, repeats).items():
            rows.append({"block": block_of.get(op, DECIDING), "network": network, "ms": ms, "macs": macs})
    return pd.DataFrame(rows).groupby(["block", "network"], sort=False, as_index=False).agg("sum")


def _said(op: Op) -> str:
    """The name of an op that stands alone, with its kind, if the name does not tell it: `relu (conv)`."""
    return op.name if op.kind in op.name else f"{op.name} ({op.kind})"


def blocks(ops: Sequence[str]) -> dict[str, str]:
    """Op -> its block: the name, shortened from the end until there are at most `MOST` blocks.

    Example:
        >>> blocks(["conv1", "layer1_0_relu1", "layer1_0_relu2"])
        {'conv1': 'conv1', 'layer1_0_relu1': 'layer1.0', 'layer1_0_relu2': 'layer1.0'}
    """
    parts = {op: op.split("_") for op in ops}
    for depth in range(max(map(len, parts.values()), default=1), 0, -1):
        found = {op: ".".join(part[: max(1, min(depth, len(part) - 1))]) for op, part in parts.items()}
        if len(set(found.values())) <= MOST:
            break
    return found


def _profile(session: Session, images: np.ndarray, repeats: int) -> Mapping[str, tuple[float, float]]:
    """Op -> median milliseconds, mean MACs. On a shared machine a mean time would include the work of others."""
    runs = [session.profile(image, 1) for _ in range(repeats) for image in images]
    found = {op: np.array([run[op] for run in runs]) for op in runs[0]}
    return {op: (float(np.median(rows[:, 0])), float(rows[:, 1].mean())) for op, rows in found.items()}
