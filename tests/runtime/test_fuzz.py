"""Damaged files and lying programs: whatever is loaded is refused with one line, or runs.

`make fuzz` does it 200,000 times with an engine that checks every access; `SLUICEGATE_MUTATIONS` says how often. A
mutation that hangs ends the process with a traceback.
"""

import copy
import faulthandler
import hashlib
import json
import os
from typing import Any

import numpy as np
import pytest
from conformance.generate import Builder, exit_early

from sluicegate_runtime import Artifact, InputError, Program, Session, loads_program, save_program
from sluicegate_runtime.native import NativeExecutor
from sluicegate_runtime.ops import ROOMS
from sluicegate_runtime.ops.frame.activations import ACTIVATIONS

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

PARTS = 8  # each with a seed of its own, so that processes may share them
MUTATIONS = int(os.environ.get("SLUICEGATE_MUTATIONS", "2000")) // PARTS
HANGS = 60  # seconds
IMAGE = (3, 113, 5)
ODD_NUMBERS = (-(2**31), -2, -1, 0, 1, 2, 3, 5, 16, 17, 255, 4096, 65536, 2**20, 2**26, 2**31 - 1)
ODD_TEXTS = ("", "tensor", "\n", "\0", "\ud800", "x" * 300)
WORDS = (*ROOMS, *ACTIVATIONS, "reflect", "circular", "nearest", "bilinear", "mean", "max", "sum", "abs")
ODD = (*ODD_NUMBERS, 2**31, 2**40, 2**64, -0.0, 0.5, 5e-324, 1e308, True, None, [], {}, *ODD_TEXTS, *WORDS)


def small_network() -> tuple[Program, dict[str, np.ndarray]]:
    """Every kind of op, in few bytes; the first ones in planes so high that they run strip by strip."""
    b = Builder(np.random.default_rng(5))
    x = b.value(IMAGE)
    y = b.conv(b.conv(x, 3, 3, (2, 1)), 3, 3, (2, 1), groups=3)
    y = b.conv(y, 8, 3, (6, 1), activation="relu6")
    gate = b.gate(y, 4, "random", keep_open=1)
    with b.under(b.gate(y, 1, "open")):
        z = b.conv(b.conv(y, 8, gate=gate, activation="relu"), 8, residual=y, activation="relu")
    z = b.op("max_pool", [z], (8, 3, 3), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    part = b.op("avg_pool", [b.op("select", [z], (8, 3, 3), gate)], (8, 2, 2), gate, stride=(1, 1))
    part = b.op("activation", [b.conv(part, 8, groups=8, gate=gate)], (8, 2, 2), gate, function="elu", alpha=0.5)
    part = moved(b, part)
    z = b.op("resize", [z], (8, 2, 2), size=(2, 2))
    z = b.op("concat", [b.op("add", [part, z], (8, 2, 2)), b.conv(z, 4, 1, groups=2)], (12, 2, 2))
    z = mixed(b, z)
    z = b.op("subsample", [z], (15, 1, 1), stride=2, before=1, after=2)
    state = b.lstm(b.flatten(z), 2, b.lstm(b.pooled(x), 2))
    y = b.linear(b.op("slice", [state], (2,), size=2), 3)
    exit_early(b, x, 3)
    return b.program(x, y), b.tensors


def moved(b: Builder, x: str) -> str:
    """Ops that move gated channels and pixels, and bring them back to where they were, of the same shape."""
    owners = b.owners(x)
    y = b.make("prelu", [b.same("affine", x, scale=0.5)], owners, {"weight": np.ones(8)})
    y = b.make("pad", [y], owners, left=1, top=1, mode="reflect")
    y = b.make("crop", [y], owners, top=1, left=1, size=(2, 2))
    y = b.make("shuffle", [y], [owners[c % 2 * 4 + c // 2] for c in range(8)], groups=2)
    y = b.make("shuffle", [y], owners, groups=4)
    y = b.make("pixel_unshuffle", [y], [owner for owner in owners for _ in range(4)], factor=2)
    y = b.make("pixel_shuffle", [y], owners, factor=2)
    y = b.make("adaptive_pool", [y], owners, size=(2, 2), maximum=True)
    y = b.make("index_select", [y], owners, {"weight": np.arange(8)})
    return b.same("group_norm", y, {"weight": np.ones(8)}, groups=4)


def mixed(b: Builder, x: str) -> str:
    """Ops that look at all channels of an ungated plane."""
    y = b.same("rms_norm", b.same("layer_norm", x, {"bias": np.ones(12)}), {"weight": np.ones(12)})
    y = b.same("response_norm", y, {"weight": np.ones(12)})
    y = b.make("multiply", [y, b.same("softmax", y, outer=2, size=3, inner=2)])
    y = b.make("multiply", [y, b.make("channel_pool", [y], function="max")])
    y = b.make("multiply", [y, b.constant(4)])
    tensors = {"weight": np.ones((12, 3, 2, 1)), "bias": np.ones(12)}
    y = b.make("transposed_conv", [y], None, tensors, groups=4, stride=(2, 1), padding=(1, 0), output_padding=(1, 0))
    return b.make("crop", [y], stride=(1, 1), size=(2, 2))


def test_the_small_network_has_every_kind_of_op():
    assert {op.kind for op in small_network()[0].ops} == set(ROOMS)


def run(artifact: Artifact, rng: np.random.Generator) -> None:
    """Now and then tuned, which tries every algorithm. Each tensor has memory of its own, whose ends are guarded."""
    artifact = Artifact(artifact.program, {name: tensor.copy() for name, tensor in artifact.tensors.items()})
    shape = next(value.shape for value in artifact.program.values if value.name == artifact.program.input)
    if np.prod(shape) < 1 << 16:
        session = Session(artifact, threads=int(rng.integers(1, 4)), tune=rng.random() < 1 / 16)
        session.run(np.ones((rng.integers(3), *shape), np.float32))


def load_and_run(content: bytes, rng: np.random.Generator) -> None:
    run(loads_program(content), rng)


def survives(action, *arguments) -> bool:
    """True if it ran; a refusal must be an InputError of one line that a terminal can show."""
    faulthandler.dump_traceback_later(HANGS, exit=True)
    try:
        action(*arguments)
    except InputError as error:
        assert str(error).encode() and "\n" not in str(error)
        return False
    finally:
        faulthandler.cancel_dump_traceback_later()
    return True


def places(document: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all leaves of a JSON document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    found: list[tuple] = []
    for key, content in items:
        deeper = isinstance(content, dict | list) and content
        found += places(content, (*path, key)) if deeper else [(*path, key)]
    return found


def edit(document: Any, rng: np.random.Generator) -> None:
    """One leaf gone, renamed, or replaced by something odd or by another leaf."""
    paths = places(document)
    path, other = paths[rng.integers(len(paths))], paths[rng.integers(len(paths))]
    parent, source = follow(document, path), follow(document, other)
    choice = rng.integers(8)
    if choice < 2:
        parent[path[-1]] = copy.deepcopy(source[other[-1]])
    elif choice == 2:
        del parent[path[-1]]
    elif choice == 3 and isinstance(parent, dict):
        parent[ODD_TEXTS[rng.integers(len(ODD_TEXTS))]] = parent.pop(path[-1])
    else:
        parent[path[-1]] = copy.deepcopy(ODD[rng.integers(len(ODD))])


def follow(document: Any, path: tuple) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy of a file: bits, length, header or program; the checksum is mended half of the time."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    kind = rng.integers(5)
    if kind == 0:
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 5)):
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        return bytes(damaged)
    if kind == 1:
        return content[: rng.integers(len(content))]
    if kind == 2:
        program = json.loads(header["__metadata__"]["program"])
        for _ in range(rng.integers(1, 3)):
            edit(program, rng)
        header["__metadata__"]["program"] = json.dumps(program)
    if kind == 3:
        edit(header, rng)
    if kind == 4 and data:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    if rng.random() < 0.5 and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


@pytest.mark.cases(3)
@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files_are_refused_or_run(part, tmp_path):
    save_program(tmp_path / "model.sluice", *small_network())
    content = (tmp_path / "model.sluice").read_bytes()
    rng = np.random.default_rng(part)
    ran = sum(
        survives(lambda damaged: run(loads_program(damaged), rng), mutate(content, rng)) for _ in range(MUTATIONS)
    )
    print(f"{MUTATIONS} damaged files: {ran} ran, the others were refused")
    assert 0 < ran < MUTATIONS // 2


@pytest.mark.cases(3)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_engine_refuses_what_the_python_side_would_let_through(part, monkeypatch):
    """The lists that the engine is given are changed behind the back of `verify_program`."""
    rng = np.random.default_rng(part)
    artifact = Artifact(*small_network())
    build = engine.Engine

    def corrupted(values, ops, *ends) -> Any:
        document = [as_lists(values), as_lists(ops), list(ends)]
        leaves = [path for path in places(document) if isinstance(follow(document, path)[path[-1]], int | str)]
        path = leaves[rng.integers(len(leaves))]
        parent = follow(document, path)
        odd = WORDS if isinstance(parent[path[-1]], str) else ODD_NUMBERS
        parent[path[-1]] = odd[rng.integers(len(odd))]
        given = [(is_gate, shape, list(map(tuple, runs))) for is_gate, shape, runs in document[0]]
        return build(given, [tuple(op) for op in document[1]], *document[2])

    monkeypatch.setattr(engine, "Engine", corrupted)
    ran = sum(survives(run_if_built, artifact) for _ in range(MUTATIONS))
    print(f"{MUTATIONS} lying lists: {ran} ran, the others were refused")
    assert 0 < ran < MUTATIONS


def as_lists(content: Any) -> Any:
    """The same with lists for tuples, down to the leaves."""
    if isinstance(content, dict):
        return dict(content)
    return [as_lists(item) for item in content] if isinstance(content, list | tuple) else content


def run_if_built(artifact: Artifact) -> None:
    try:
        session = Session(artifact, threads=1)
    except TypeError:  # a number that is no index in C++ at all
        raise InputError("refused by the binding") from None
    try:
        assert isinstance(session._executor, NativeExecutor)
        session._executor._engine.run(np.ones((1, *IMAGE), np.float32), None)
    except ValueError as error:
        raise InputError(str(error)) from None
