"""A room for each kind of op: attributes, rule, NumPy definition. One file each, of the kind's name.

The engine has a file of the same name for each of them in csrc/ops/. A new op is a file here, a row in this table, and
one there.
"""

from collections.abc import Mapping

from sluicegate_runtime.errors import InputError
from sluicegate_runtime.ops import (
    activation,
    adaptive_pool,
    add,
    affine,
    avg_pool,
    channel_pool,
    concat,
    constant,
    conv,
    crop,
    exit,
    gate,
    global_pool,
    group_norm,
    layer_norm,
    linear,
    lstm,
    max_pool,
    multiply,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    prelu,
    reshape,
    resize,
    select,
    shuffle,
    slice,
    softmax,
    subsample,
    transposed_conv,
)
from sluicegate_runtime.ops.frame.room import Attributes, Room
from sluicegate_runtime.program import Op

ROOMS: Mapping[str, Room] = {
    "conv": conv.ROOM,
    "transposed_conv": transposed_conv.ROOM,
    "linear": linear.ROOM,
    "max_pool": max_pool.ROOM,
    "avg_pool": avg_pool.ROOM,
    "adaptive_pool": adaptive_pool.ROOM,
    "global_pool": global_pool.ROOM,
    "channel_pool": channel_pool.ROOM,
    "add": add.ROOM,
    "multiply": multiply.ROOM,
    "affine": affine.ROOM,
    "activation": activation.ROOM,
    "prelu": prelu.ROOM,
    "concat": concat.ROOM,
    "slice": slice.ROOM,
    "shuffle": shuffle.ROOM,
    "select": select.ROOM,
    "reshape": reshape.ROOM,
    "crop": crop.ROOM,
    "pad": pad.ROOM,
    "resize": resize.ROOM,
    "subsample": subsample.ROOM,
    "pixel_shuffle": pixel_shuffle.ROOM,
    "pixel_unshuffle": pixel_unshuffle.ROOM,
    "layer_norm": layer_norm.ROOM,
    "group_norm": group_norm.ROOM,
    "softmax": softmax.ROOM,
    "lstm": lstm.ROOM,
    "constant": constant.ROOM,
    "gate": gate.ROOM,
    "exit": exit.ROOM,
}


def room_of(op: Op) -> Room:
    """The room of an op's kind. InputError where there is none of that name."""
    if op.kind not in ROOMS:
        raise InputError(f"op {op.name!r}: unknown kind {op.kind!r}; known: {', '.join(ROOMS)}")
    return ROOMS[op.kind]


def attributes_of(op: Op) -> Attributes:
    """All attributes of `op`, defaults filled in. InputError names an unknown one or one of the wrong type."""
    return room_of(op).attributes_of(op)
