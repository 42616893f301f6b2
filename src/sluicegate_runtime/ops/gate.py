"""Logits -> flags: open is what lies above the threshold, a logit.

With `top_k` the k largest are open instead, of equals the first, whatever the threshold. The first `keep_open` flags
are open whatever either says, and are among the k.
"""

import numpy as np

from sluicegate_runtime.ops.frame.room import Call, Given, Room, Shape, ungated


def _shape(given: Given) -> Shape:
    flags = given.vector()
    for key in ("top_k", "keep_open"):
        given.require(0 <= given.has[key] <= flags, f"{key} {given.has[key]} is outside 0..{flags}")
    return (flags,)


def _run(call: Call) -> np.ndarray:
    logits, has = call.x, call.has
    if has["top_k"]:
        places = np.arange(len(logits))
        order = np.argsort(np.where(places < has["keep_open"], -np.inf, -logits), kind="stable")
        flags = np.isin(places, order[: has["top_k"]])
    else:
        flags = logits > (has["threshold"] if call.threshold is None else call.threshold)
    flags[: has["keep_open"]] = True
    return flags


ROOM = Room(
    kind="gate",
    shape=_shape,
    run=_run,
    channels=ungated,
    attributes={"threshold": 0.0, "top_k": 0, "keep_open": 0},
    writes="gate",
    decides=("threshold", "top_k", "keep_open"),
    plain="nothing",
)
