"""What libFuzzer begins with, and what it found, through the engine as installed: answered, or refused in one line.

`make libfuzzer` does the same with cases of its own, and sanitizers.
"""

import numpy as np
import pytest
from runtime.fuzz_cases import WORDS, Case, decode, encode
from runtime.fuzz_corpus import CORPUS, cases

from sluicegate_runtime.ops import ROOMS

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

FILES = sorted(CORPUS.iterdir())
MOST_BYTES = 200 * 1024


def run(content: bytes) -> None:
    """ValueError, as the engine says it, where it refuses the case."""
    case = decode(content)
    shape = case.values[case.input][1]
    made = engine.Engine(*case.engine_arguments)
    images = np.random.default_rng(case.images).normal(size=(case.images % 3, *shape)).astype(np.float32)
    made.run(images, (case.threshold - 128) / 16 if case.threshold else None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_case_is_answered_or_refused_in_one_line(path):
    try:
        run(path.read_bytes())
    except ValueError as refusal:
        assert path.name.startswith("found")  # all others are programs
        assert str(refusal) and "\n" not in str(refusal)


def test_the_corpus_is_what_its_command_writes():
    written = {path.name: path.read_bytes() for path in FILES if not path.name.startswith("found")}
    assert written == cases()
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


def test_every_op_and_attribute_is_in_the_corpus():
    ops = [op for content in cases().values() for op in decode(content).ops]
    assert {op[1] for op in ops} == set(ROOMS)
    assert {name for op in ops for name in op[6]} <= set(WORDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_bytes_become_a_case_and_bytes_again(path):
    case = decode(path.read_bytes())
    assert decode(encode(case)) == case


@pytest.mark.parametrize("name", ["padding", "extra_padding"])
@pytest.mark.parametrize("axis", ["y", "x"])
def test_padding_that_adds_up_to_more_than_31_bits_is_refused(name, axis):
    """The fuzzer found it; Python's own check stands before the engine's."""
    case = decode((CORPUS / "conv").read_bytes())
    attributes = next(op[6] for op in case.ops if op[1] == "conv")
    attributes[f"{name}_{axis}"] = 2**31 - 1
    with pytest.raises(ValueError, match="window does not fit the plane"):
        run(encode(case))


@pytest.mark.parametrize("number", [0, 239, 240, -1, -256, -257, 65535, 65536, -(2**31), 2**31, 2**63 - 1])
def test_numbers_of_any_size(number):
    op = ("0", "add", [], -1, [], [], {"top": number}, None, None)
    case = Case(1, 2, 3, [], [op], 0, [])
    assert decode(encode(case)) == case
