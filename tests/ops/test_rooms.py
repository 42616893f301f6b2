"""One room an op, of one name on every side: torch, the runtime's definition, the engine."""

import importlib
from pathlib import Path

import pytest

from sluicegate.ops import ROOMS, Room
from sluicegate_runtime.ops import ROOMS as RUNTIME_ROOMS

SOURCE = Path(__file__).parents[2]
TORCH, RUNTIME, ENGINE = SOURCE / "src/sluicegate/ops", SOURCE / "src/sluicegate_runtime/ops", SOURCE / "csrc/ops"

TORCH_ALONE = {
    "channel_affine",  # folded into a convolution's weights, or a convolution of one weight a channel
    "difference",  # folded into the weights of what makes the logits
    "expand",  # a product broadcasts by itself
    "fold",  # a sum of slices
    "identity",  # the value itself
    "layer_mask",  # the ops of a region
    "reorder",  # slices, one behind the other
    "split",  # slices
}
"""Kinds that never stand in a program."""


def _files(folder: Path, ending: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*{ending}")}


def test_the_three_sides_have_the_same_rooms() -> None:
    runtime = _files(RUNTIME, ".py") - {"__init__"}
    assert _files(TORCH, ".py") - {"__init__"} - TORCH_ALONE == runtime
    assert _files(ENGINE, ".cpp") == runtime
    assert not TORCH_ALONE & runtime


def test_every_room_of_torch_is_named_as_its_file() -> None:
    assert set(ROOMS) == _files(TORCH, ".py") - {"__init__"}
    for kind, room in ROOMS.items():
        found = [x for x in vars(importlib.import_module(f"sluicegate.ops.{kind}")).values() if isinstance(x, Room)]
        assert found == [room] and room.kind == kind


@pytest.mark.parametrize("kind", sorted(ROOMS))
def test_what_may_stand_in_a_program_can_be_lowered(kind: str) -> None:
    assert (kind in RUNTIME_ROOMS) == (kind not in TORCH_ALONE)
    assert ROOMS[kind].lower is not None
