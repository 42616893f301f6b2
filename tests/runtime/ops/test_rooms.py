"""Each kind of op has a room of its name wherever ops are known."""

import dataclasses
import re
from pathlib import Path

import pytest

from sluicegate_runtime import InputError, Op, attributes_of, ops
from sluicegate_runtime.ops import ROOMS
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS

ROOT = Path(__file__).parents[3]
PYTHON = Path(ops.__path__[0])  # as installed, which may be a wheel
NATIVE = ROOT / "csrc/ops"


def rooms(folder: Path, ending: str) -> set[str]:
    """The names of a folder's files; what they share lies in folders below."""
    return {path.stem for path in folder.glob(f"*{ending}") if not path.name.startswith("__")}


def test_every_kind_has_a_file_of_its_name_and_every_file_is_a_kind():
    assert rooms(PYTHON, ".py") == set(ROOMS)
    assert rooms(NATIVE, ".cpp") == set(ROOMS)


def test_the_table_names_each_room_as_it_names_itself():
    assert all(room.kind == name for name, room in ROOMS.items())


def test_a_file_too_many_is_noticed(tmp_path):
    for name in (*ROOMS, "sort"):
        (tmp_path / f"{name}.py").touch()
    assert rooms(tmp_path, ".py") - set(ROOMS) == {"sort"}


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
def test_a_room_fills_in_its_defaults(room):
    assert attributes_of(Op(room.kind, "op", (), None)) == room.attributes
    with pytest.raises(InputError, match="unknown attribute 'colour'; known: "):
        attributes_of(Op(room.kind, "op", (), None, attributes={"colour": 3}))


def numbered(room) -> list[tuple[str, str]]:
    return [(room.kind, key) for key in room.attributes]


@pytest.mark.parametrize(("kind", "key"), [pair for room in ROOMS.values() for pair in numbered(room)])
def test_an_attribute_of_another_type_is_refused(kind, key):
    default = ROOMS[kind].attributes[key]
    wrong = {str: 3, bool: 1, int: True, float: "wide", tuple: 2}[type(default)]
    with pytest.raises(InputError, match=f"op 'op': {key}={wrong!r} must be like"):
        attributes_of(Op(kind, "op", (), None, attributes={key: wrong}))


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1e39])
def test_numbers_that_a_float32_cannot_hold_are_refused(number):
    with pytest.raises(InputError, match="op 'op': shift"):
        attributes_of(Op("affine", "op", (), None, attributes={"shift": number}))


def test_the_page_about_programs_has_a_row_for_each_kind():
    """With its attributes in order, and every activation."""
    page = (ROOT / "docs/program.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w, ]*?) ?\|", page, re.MULTILINE))
    assert {kind: row.split(", ") if row else [] for kind, row in rows.items() if kind in ROOMS} == {
        kind: list(room.attributes) for kind, room in ROOMS.items()
    }
    assert all(re.search(rf"\b{name}\b", page) for name in ACTIVATIONS)


def test_rooms_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROOMS["conv"].kind = "other"  # type: ignore[misc]
