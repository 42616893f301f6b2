import json
import os

import numpy as np
import pytest
from conformance.generate import random_program

from sluicegate_runtime import InputError, load_program, loads_program, save_program


@pytest.fixture
def content(tmp_path):
    program, tensors = random_program(3)
    save_program(tmp_path / "model.sluice", program, tensors)
    return (tmp_path / "model.sluice").read_bytes()


def edited(content: bytes, edit) -> bytes:
    """The file with its header changed by `edit(header)`."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def test_round_trip(tmp_path):
    program, tensors = random_program(3)
    save_program(tmp_path / "model.sluice", program, tensors)
    artifact = load_program(tmp_path / "model.sluice")
    assert artifact.program == program
    assert artifact.tensors.keys() == tensors.keys()
    assert all(np.array_equal(artifact.tensors[name], tensors[name]) for name in tensors)


def test_the_file_is_a_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    program, tensors = random_program(3)
    save_program(tmp_path / "model.sluice", program, tensors)
    stored = safetensors.load_file(tmp_path / "model.sluice")
    assert all(np.array_equal(stored[name], tensors[name]) for name in tensors)


def test_nothing_is_left_behind_by_a_refused_save(tmp_path):
    program, _ = random_program(3)
    with pytest.raises(InputError):
        save_program(tmp_path / "model.sluice", program, {})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none/model\.sluice: cannot be written: No such file"):
        save_program(tmp_path / "none" / "model.sluice", *random_program(3))


@pytest.mark.parametrize("place", [".", "folder"])
def test_a_folder_is_no_place_for_a_file(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written: "):
        save_program(place, *random_program(3))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_others_may_read_the_file_where_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        save_program(tmp_path / "model.sluice", *random_program(3))
    finally:
        os.umask(before)
    assert (tmp_path / "model.sluice").stat().st_mode & 0o777 == 0o644


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.sluice: cannot be read"):
        load_program(tmp_path / "none.sluice")


@pytest.mark.parametrize("path", [None, 3, b"content", ["a.sluice"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match=r"path: .* is not the path of a .sluice file"):
        load_program(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_program("null\0byte")


@pytest.mark.parametrize("part", [0, 4, 8, 40, 0.5, 0.99, -1])
def test_a_truncated_file_is_refused(content, part):
    size = int(part * len(content)) if isinstance(part, float) else part
    with pytest.raises(InputError):
        loads_program(content[:size])


def test_a_changed_weight_is_noticed(content):
    damaged = bytearray(content)
    damaged[-2] ^= 1
    with pytest.raises(InputError, match="SHA-256"):
        loads_program(bytes(damaged))


def test_bytes_after_the_tensors_are_refused(content):
    with pytest.raises(InputError, match="SHA-256"):
        loads_program(content + b"\0")


def first_tensor(header):
    return next(name for name in header if name != "__metadata__")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda h: h.pop("__metadata__"), "no metadata"),
        (lambda h: h["__metadata__"].pop("sha256"), "lacks 'sha256'"),
        (lambda h: h["__metadata__"].update(version="3"), "format 'sluice 3' is not"),
        (lambda h: h["__metadata__"].update(version="1"), "it is of version 1, .*: export the network again"),
        (lambda h: h["__metadata__"].update(program="{}"), "input must be a text"),
        (lambda h: h[first_tensor(h)].update(dtype="F64"), "must be F32"),
        (lambda h: h[first_tensor(h)].update(shape=[1 << 39, 1 << 39]), "does not hold shape"),
        (lambda h: h[first_tensor(h)].update(shape=[-1]), "not lists of counts"),
        (lambda h: h[first_tensor(h)].update(shape=[0, 1 << 39, 1 << 39], data_offsets=[0, 0]), "a side is 0"),
        (lambda h: h[first_tensor(h)].update(data_offsets=[4, 8]), "where it should begin"),
        (lambda h: h[first_tensor(h)].update(data_offsets=[0, 1 << 39]), "does not hold shape"),
        (lambda h: h.pop(first_tensor(h)), "where it should begin|bytes follow"),
        (lambda h: h.update(extra={"dtype": "F32"}), "must be F32 with shape"),
    ],
)
def test_a_header_that_lies_is_refused(content, edit, complaint):
    with pytest.raises(InputError, match=complaint) as refusal:
        loads_program(edited(content, edit))
    assert "\n" not in str(refusal.value)


def test_random_damage_is_refused_with_an_input_error(content):
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(min(len(damaged), 4000))] ^= 1 << rng.integers(8)
        try:
            loads_program(bytes(damaged))
        except InputError:
            refused += 1
    assert refused > 400  # a bit in a name, used alike everywhere, may go unnoticed; hardly any other does
