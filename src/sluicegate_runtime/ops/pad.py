"""Pixels around a plane, as torch's `F.pad` makes them: one number, or the plane mirrored, drawn out or repeated."""

from typing import Any

import numpy as np

from sluicegate_runtime.ops.frame.limits import MAX_SIDE
from sluicegate_runtime.ops.frame.room import Attributes, Call, Given, Room, Shape

MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # NumPy's names


def _edges(has: Attributes) -> tuple[tuple[int, int], tuple[int, int]]:
    return (has["top"], has["bottom"]), (has["left"], has["right"])


def _shape(given: Given) -> Shape:
    channels, *sides = given.plane()
    mode = given.has["mode"]
    given.require(mode in MODES, f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    for side, edges in zip(sides, _edges(given.has), strict=True):
        given.require(min(edges) >= 0, f"edges {edges} must be from 0")
        given.require(mode != "reflect" or max(edges) < side, f"edges {edges} must be less than the side of {side}")
        given.require(mode != "circular" or max(edges) <= side, f"edges {edges} must be at most the side of {side}")
    out = tuple(side + sum(edges) for side, edges in zip(sides, _edges(given.has), strict=True))
    given.require(max(out) <= MAX_SIDE, f"its output would have a side of {max(out)}, at most {MAX_SIDE}")
    return (channels, *out)


def _run(call: Call) -> np.ndarray:
    options: dict[str, Any] = {"mode": MODES[call.has["mode"]]}
    if call.has["mode"] == "constant":
        options["constant_values"] = call.has["fill"]
    return np.pad(call.x, ((0, 0), *_edges(call.has)), **options)


ROOM = Room(
    kind="pad",
    shape=_shape,
    run=_run,
    attributes={"left": 0, "right": 0, "top": 0, "bottom": 0, "mode": "constant", "fill": 0.0},
)
