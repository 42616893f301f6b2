"""`info` of a file: what it says is what the program has and what the engine counts."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import environment
from conformance.generate import Builder

from sluicegate_runtime import InputError, Preprocessing, Program, Session, save_program
from sluicegate_runtime.__main__ import main
from sluicegate_runtime.contents import describe, in_words

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


@pytest.fixture
def program_and_file(tmp_path: Path) -> tuple[Program, Path]:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    gate = b.gate(x, 8, "random", top_k=0)
    made = b.program(x, b.linear(b.pooled(b.conv(b.conv(x, 8, gate=gate), 8)), 2))
    program = replace(made, preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.2,) * 3), classes=("cat", "dog"))
    save_program(tmp_path / "model.sluice", program, b.tensors)
    return program, tmp_path / "model.sluice"


def test_it_says_what_the_program_has(program_and_file: tuple[Program, Path]) -> None:
    program, file = program_and_file
    found = describe(file)
    assert (found["bytes"], found["input"], found["outputs"]) == (file.stat().st_size, [3, 8, 8], {"output": [2]})
    assert found["classes"] == ["cat", "dog"] and found["gates"] == program.gates
    assert [(op["name"], op["kind"]) for op in found["ops"]] == [(op.name, op.kind) for op in program.ops]
    assert {tuple(op["shape"]) for op in found["ops"] if op["kind"] == "conv"} == {(8, 8, 8)}


def test_dense_macs_are_those_of_open_gates_without_the_head(program_and_file: tuple[Program, Path]) -> None:
    _, file = program_and_file
    session = Session(file)
    image = np.zeros((1, 3, 8, 8), np.float32)
    opened = session.run(image, threshold=0.0).macs[0]
    found = describe(file)["dense_macs"]
    convolutions = 9 * 64 * (3 * 8 + 8 * 8)
    assert convolutions + 8 * 2 <= found < opened


def test_people_get_lines(program_and_file: tuple[Program, Path]) -> None:
    program, file = program_and_file
    lines = list(in_words(describe(file)))
    assert f"gates{' ' * 18}8 (sites: 1)" in lines
    assert "cat, dog" in "\n".join(lines) and "mean (0.5, 0.5, 0.5)" in "\n".join(lines)
    assert len(list(in_words(describe(file), ops=True))) == len(lines) + len(program.ops)


def test_a_program_of_unknown_preprocessing_says_so(program_and_file: tuple[Program, Path], tmp_path: Path) -> None:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    save_program(tmp_path / "plain.sluice", b.program(x, b.conv(x, 4)), b.tensors)
    text = "\n".join(in_words(describe(tmp_path / "plain.sluice")))
    assert "not known" in text and "not named" in text and "none" in text


def test_the_command_prints_one_object(program_and_file: tuple[Program, Path], capsys) -> None:
    _, file = program_and_file
    assert main(["info", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(file)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "not.sluice").write_text("not at all")
    with pytest.raises(InputError, match=r"not\.sluice: not a \.sluice file"):
        describe(tmp_path / "not.sluice")


def test_the_command_needs_no_torch(program_and_file: tuple[Program, Path]) -> None:
    _, file = program_and_file
    code = (
        "import sys; sys.modules['torch'] = None; import sluicegate_command; status = sluicegate_command.main()\n"
        "assert not {'sluicegate', 'jsonargparse'} & set(sys.modules); sys.exit(status)"
    )
    run = [sys.executable, "-c", code, "info", str(file)]
    done = subprocess.run(run, capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and "gates" in done.stdout, done.stderr
