"""What a session promises beside the figures: errors, threads, memory, and images that do not touch each
other."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conformance.generate import Builder, random_program

from sluicegate_runtime import Artifact, InputError, RunError, Session, run_reference, save_program
from sluicegate_runtime.native import NativeExecutor

engine = pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")


def network(channels: int = 40) -> tuple[Artifact, tuple[int, ...]]:
    """A gated residual block with an odd number of channels in the middle, and a classifier."""
    b = Builder(np.random.default_rng(1))
    x = b.value((3, 12, 11))
    y = b.conv(x, channels, 3, activation="relu")
    gate = b.gate(y, 37, "random")
    y = b.conv(b.conv(y, 37, gate=gate, activation="relu"), channels, residual=y, activation="relu")
    return Artifact(b.program(x, b.linear(b.pooled(y), 5)), b.tensors), (3, 12, 11)


def images(count: int, shape=(3, 12, 11)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def test_a_file_runs(tmp_path):
    artifact, _ = network()
    save_program(tmp_path / "model.sluice", artifact.program, artifact.tensors)
    result = Session(tmp_path / "model.sluice").run(images(3))
    np.testing.assert_allclose(
        result.output, run_reference(artifact.program, artifact.tensors, images(3)).output, rtol=0, atol=1e-5
    )


def test_the_bytes_of_a_file_run(tmp_path):
    artifact, _ = network()
    save_program(tmp_path / "model.sluice", artifact.program, artifact.tensors)
    content = (tmp_path / "model.sluice").read_bytes()
    expected = Session(tmp_path / "model.sluice").run(images(2)).output
    for source in (content, bytearray(content), memoryview(content)):
        assert np.array_equal(Session(source).run(images(2)).output, expected)


@pytest.mark.parametrize("source", [None, 3, ["model.sluice"], object()])
def test_what_is_no_program_is_refused_in_one_line(source):
    with pytest.raises(InputError, match=r"source: .* is neither a path, nor the bytes of a file") as refusal:
        Session(source)
    assert "\n" not in str(refusal.value)


def test_the_definition_is_an_engine_too():
    artifact, _ = network()
    slow, fast = Session(artifact, engine="reference"), Session(artifact)
    assert (slow.engine, slow.isa) == ("reference", "numpy")
    for threshold in (None, 0.3):
        expected, found = slow.run(images(3), threshold), fast.run(images(3), threshold)
        np.testing.assert_allclose(found.output, expected.output, rtol=0, atol=1e-5)
        assert np.array_equal(found.macs, expected.macs)
    gates = {name: np.ones(count, bool) for name, count in artifact.program.gates.items()}
    profiles = [session.profile(images(1)[0], 2, gates) for session in (slow, fast)]
    assert [macs for _, macs in profiles[0].values()] == [macs for _, macs in profiles[1].values()]
    assert all(milliseconds > 0 for milliseconds, _ in profiles[0].values())


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="engine: 'abacus' is none of native, reference"):
        Session(network()[0], engine="abacus")


def test_what_is_kept_open_stays_open_at_threshold_1():
    """Fault 14, in the engine: by threshold and by rank."""
    for options in ({}, {"top_k": 2}):
        b = Builder(np.random.default_rng(1))
        x = b.value((3, 12, 11))
        gate = b.gate(x, 5, "closed", keep_open=2, **{"top_k": 0, **options})
        artifact = Artifact(b.program(x, b.conv(b.conv(x, 5, gate=gate), 2)), b.tensors)
        found = Session(artifact).run(images(2), threshold=1.0)
        assert found.gates[gate].tolist() == [[True, True, False, False, False]] * 2
        expected = run_reference(artifact.program, artifact.tensors, images(2), threshold=1.0)
        assert np.array_equal(found.macs, expected.macs)


def test_several_outputs_have_their_names():
    b = Builder(np.random.default_rng(1))
    x = b.value((3, 12, 11))
    y = b.conv(x, 4, activation="relu")
    artifact = Artifact(b.program(x, {"map": y, "scores": b.pooled(y), "same": y, "image": x}), b.tensors)
    found = Session(artifact).run(images(3))
    assert list(found.outputs) == ["map", "scores", "same", "image"]
    assert np.array_equal(found.output, found.outputs["map"]) and np.array_equal(found.output, found.outputs["same"])
    np.testing.assert_allclose(found.outputs["scores"], found.output.mean((2, 3)), atol=1e-6)
    assert np.array_equal(found.outputs["image"], images(3))


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, True, "2"])
def test_threads_must_be_a_count(threads):
    with pytest.raises(InputError, match=r"threads: .* is not a whole number from 1 to 1024"):
        Session(network()[0], threads=threads)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 3, 12, 11)),
        np.zeros((1, 3, 12, 11), np.float16),
        np.zeros((3, 12, 11), np.float32),
        np.zeros((1, 3, 11, 12), np.float32),
        np.zeros((), np.float32),
        "image",
    ],
)
def test_images_of_another_form_are_refused(wrong):
    with pytest.raises(InputError, match=r"images: .* is not a float32 array \[N, 3, 12, 11\]"):
        Session(network()[0]).run(wrong)


def test_images_may_lie_in_memory_in_any_way():
    session = Session(network()[0])
    straight = images(4)
    expected = session.run(straight).output
    assert np.array_equal(session.run(np.asfortranarray(straight)).output, expected)
    assert np.array_equal(session.run(np.repeat(straight, 2, axis=0)[::2]).output, expected)
    read_only = straight.copy()
    read_only.flags.writeable = False
    assert np.array_equal(session.run(read_only).output, expected)


@pytest.mark.parametrize("isa", engine.isas())
def test_nan_and_infinity_stay_with_their_image(isa, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_ISA", isa)
    for seed in range(40):
        program, tensors = random_program(seed)
        shape = next(value.shape for value in program.values if value.name == program.input)
        batch = images(3, shape)
        session = Session(Artifact(program, tensors))
        alone = session.run(batch[2:]).output
        batch[0], batch[1] = np.nan, np.inf
        assert np.array_equal(session.run(batch).output[2:], alone), f"program {seed}"


def test_a_nan_logit_closes_its_gate_and_shows_in_the_output():
    artifact, shape = network()
    result = Session(artifact).run(np.full((1, *shape), np.nan, np.float32))
    assert not any(flags.any() for flags in result.gates.values())
    assert np.isnan(result.output).all()


@pytest.mark.parametrize("isa", engine.isas())
def test_a_nan_pixel_shows_wherever_it_lies_in_a_window(isa, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_ISA", isa)
    for kernel, stride, padding in (((3, 3), (2, 2), (1, 1)), ((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 3), (1, 0))):
        b = Builder(np.random.default_rng(0))
        x = b.value((17, 9, 11))
        y = b.make("max_pool", [x], kernel=kernel, stride=stride, padding=padding)
        artifact = Artifact(b.program(x, y), b.tensors)
        pixels = images(99, (17, 9, 11))
        pixels.reshape(99, 17, 99)[np.arange(99), 5, np.arange(99)] = np.nan  # each pixel once
        expected = run_reference(artifact.program, artifact.tensors, pixels).output
        assert np.isnan(expected[0]).any()
        np.testing.assert_array_equal(Session(artifact).run(pixels).output, expected)


def test_threshold_moves_the_operating_point():
    artifact, _ = network()
    session = Session(artifact)
    rates = [session.run(images(4), threshold=t) for t in (0.0, 0.3, 0.5, 0.7, 1.0)]
    macs = [int(result.macs.sum()) for result in rates]
    assert macs == sorted(macs, reverse=True)
    assert all((rate == 1).all() for rate in rates[0].open_rate.values())
    assert all((rate == 0).all() for rate in rates[-1].open_rate.values())
    for threshold, result in zip((0.0, 0.3, 0.5, 0.7, 1.0), rates, strict=True):
        expected = run_reference(artifact.program, artifact.tensors, images(4), threshold)
        assert np.array_equal(result.macs, expected.macs)
    with pytest.raises(InputError, match="threshold"):
        session.run(images(1), threshold=2)


def test_an_unknown_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv("SLUICEGATE_ISA", "abacus")
    with pytest.raises(InputError, match="SLUICEGATE_ISA: 'abacus' is not one of"):
        Session(network()[0])


@pytest.mark.parametrize("size", ["much", "48 KiB", "-1", "65536"])
def test_a_cache_of_unknown_size_is_refused(size, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_L1", size)
    with pytest.raises(InputError, match=f"SLUICEGATE_L1: '{size}' is not a whole number"):
        Session(network()[0])


def test_a_missing_engine_is_a_run_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "sluicegate_runtime._engine", None)
    with pytest.raises(RunError, match="engine: the native module cannot be imported"):
        Session(network()[0])


@pytest.mark.parametrize("runs", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_python_threads_share_a_session(runs):
    session = Session(network()[0], threads=2)
    batch = images(8)
    expected = session.run(batch).output
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(runs // 8):
            if not np.array_equal(session.run(batch[which : which + 1]).output[0], expected[which]):
                wrong.append(which)

    workers = [threading.Thread(target=work, args=(which,)) for which in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory and threads by /proc")


def resident() -> int:
    """KiB of this process that are in memory, when what it has freed is given back (where the C library can)."""
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def running() -> int:
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


@LINUX
@pytest.mark.parametrize("runs", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(runs):
    session = Session(network()[0], threads=2)
    batch = images(2)
    for _ in range(200):
        session.run(batch)
    before = resident()
    for _ in range(runs):
        session.run(batch)
    grown = resident() - before
    print(f"{runs} runs: {before} KiB and {grown} more")
    assert grown < 2048  # a leak of 1 KiB a run is 3000


@LINUX
@pytest.mark.parametrize("count", [20, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_sessions_come_and_go(threads, count):
    """Each runs beside the one before it; their threads and memory go with them."""
    artifact, _ = network()
    expected = Session(artifact, threads=1).run(images(2)).output
    alive, before = running(), 0
    for number in range(count):
        session = Session(artifact, threads=threads)
        assert np.array_equal(session.run(images(2)).output, expected)
        if number == 10:
            before = resident()
    del session
    grown = resident() - before
    print(f"{count} sessions of {threads} threads: {grown} KiB more")
    assert grown < 2048
    deadline = time.monotonic() + 5
    while running() > alive and time.monotonic() < deadline:  # a thread that was joined is listed a moment longer
        time.sleep(0.01)
    assert running() <= alive


def test_results_outlive_their_session():
    session = Session(network()[0])
    result = session.run(images(2))
    copy = result.output.copy()
    del session
    Session(network()[0]).run(images(2) + 1)
    assert np.array_equal(result.output, copy)


def test_idle_workers_are_parked():
    """A session that nobody runs takes no processor time."""
    code = (
        "import sys, time; from test_session import *\n"
        "session = Session(network()[0], threads=4); session.run(images(1)); time.sleep(0.1)\n"
        "begin = time.process_time(); time.sleep(0.5); print(time.process_time() - begin)"
    )
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    run = [sys.executable, "-c", code]
    printed = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    assert float(printed.stdout) < 0.1


def test_a_profile_shares_out_the_macs_of_a_run():
    session = Session(network()[0])
    profile = session.profile(images(1)[0], repeats=3)
    assert list(profile) == [op.name for op in session.program.ops]
    assert sum(macs for _, macs in profile.values()) == session.run(images(1)).macs[0]
    assert all(milliseconds > 0 for milliseconds, _ in profile.values())


def test_profile_takes_decisions_from_outside():
    artifact = Artifact(*random_program(9))
    session = Session(artifact)
    image = np.random.default_rng(0).normal(size=artifact.program.values[0].shape).astype(np.float32)
    for threshold in (0.2, 0.5, 0.7, 1.0):
        wanted = session.run(image[None], threshold)
        gates = {name: flags[0] for name, flags in wanted.gates.items()}
        assert sum(macs for _, macs in session.profile(image, 2, gates).values()) == wanted.macs[0]
    assert len(gates) > 1
    name = next(iter(gates))
    for wrong, named in (({}, name), ({**gates, "no": gates[name]}, "no"), ({**gates, name: gates[name][:0]}, name)):
        with pytest.raises(InputError, match=f"gates: '{named}'"):
            session.profile(image, 1, wrong)
    assert isinstance(session._executor, NativeExecutor)
    with pytest.raises(ValueError, match="forced: there are not as many flags as gates have"):
        session._executor._engine.profile(image, 1, np.zeros(1, np.uint8))


def test_a_profile_wants_one_image_and_a_count():
    session = Session(network()[0])
    with pytest.raises(InputError, match="repeats: 0 is not 1 or more"):
        session.profile(images(1)[0], repeats=0)
    for wrong in (images(1), images(1)[0].tolist(), images(1)[0].astype(np.float64)):
        with pytest.raises(InputError, match=r"image: .* is not a float32 array \[3, 12, 11\]"):
            session.profile(wrong)


def test_more_images_than_memory_holds_are_a_run_error():
    """Of an array that repeats one image, a copy would take a petabyte."""
    many = np.broadcast_to(images(1), (10**12, 3, 12, 11))
    with pytest.raises(RunError, match="no memory for 1000000000000 at once"):
        Session(network()[0]).run(many)


@LINUX
def test_threads_that_cannot_be_started_are_a_run_error(tmp_path):
    """Where the process may map no more than some hundred MB, there is no room for a thousand stacks."""
    artifact, _ = network()
    save_program(tmp_path / "model.sluice", artifact.program, artifact.tensors)
    code = (
        "import resource, sys\n"
        "from sluicegate_runtime import RunError, Session\n"
        "mapped = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "Session(sys.argv[1], threads=2)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (mapped + (512 << 20),) * 2)\n"
        "try:\n"
        "    Session(sys.argv[1], threads=1024)\n"
        "except RunError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model.sluice"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1024 threads cannot be started" in done.stdout


def large(x: tuple[int, ...], out: int, gated: bool = False, **window) -> Artifact:
    """One convolution."""
    b = Builder(np.random.default_rng(0))
    first = b.value(x)
    gate = b.op("gate", [b.constant(out)], (out,)) if gated else None
    y = b.conv(first, out, gate=gate, **window)
    return Artifact(b.program(first, b.conv(y, 1, 1) if gated else y), b.tensors)


def test_a_stride_beyond_the_plane_takes_no_memory():
    artifact = large((4, 1, 16384), 1, kernel=1, stride=(65536, 1))
    pixels = images(1, (4, 1, 16384))
    expected = run_reference(artifact.program, artifact.tensors, pixels).output
    np.testing.assert_allclose(Session(artifact).run(pixels).output, expected, atol=1e-5)


def test_shares_of_very_many_channels_are_counted_right():
    """400,000 channels in 6250 passes: their product has more than 31 bits."""
    artifact = large((400_000, 15, 1), 1, gated=True)
    pixels = images(1, (400_000, 15, 1))
    expected = run_reference(artifact.program, artifact.tensors, pixels).output
    np.testing.assert_allclose(Session(artifact).run(pixels).output, expected, atol=1e-4)


@pytest.mark.slow
def test_shares_of_very_many_tiles_are_counted_right():
    """246,016 tiles in 10,698 batches: their product has more than 31 bits."""
    artifact = large((17, 1984, 1984), 16)
    pixels = images(1, (17, 1984, 1984))
    direct = Session(artifact, winograd=False).run(pixels).output
    np.testing.assert_allclose(Session(artifact).run(pixels).output, direct, atol=1e-4)
