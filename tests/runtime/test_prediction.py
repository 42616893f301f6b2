"""`predict`: images in, JSON lines out, with the same answer as the session gives."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from commands import environment
from conformance.generate import Builder

from sluicegate_runtime import Artifact, InputError, Preprocessing, Session, load_program, predict, save_program
from sluicegate_runtime.__main__ import main

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    gate = b.gate(x, 8, "random", top_k=0)
    y = b.conv(b.conv(x, 8, gate=gate, activation="relu"), 8)
    made = b.program(x, b.linear(b.pooled(y), 2))
    program = replace(made, preprocessing=Preprocessing(resize=8, crop=8, mean=MEAN, std=STD), classes=("cat", "dog"))
    save_program(tmp_path / "model.sluice", program, b.tensors)
    return tmp_path / "model.sluice"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return tmp_path / "a.npy"


def test_a_prediction_is_what_the_session_says(model: Path, image: Path) -> None:
    session = Session(model)
    (found,) = predict(session, [image])
    pixels = (np.load(image).transpose(2, 0, 1) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    result = session.run(pixels[None].astype(np.float32))
    scores = np.exp(result.output[0].astype(float))
    assert found["class"] == ("cat", "dog")[scores.argmax()]
    assert found["probability"] == pytest.approx(scores.max() / scores.sum(), abs=1e-5)
    assert found["macs"] == result.macs[0]
    assert found["open_rate"] == np.mean(list(result.gates.values()))
    assert found["ms"] > 0


def test_the_command_prints_a_line_for_each_image(model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(model), str(image), str(image), "--threshold", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["open_rate"] for line in lines] == [0, 0]
    assert lines[0].keys() == {"file", "class", "probability", "macs", "ms", "open_rate"}


def test_it_runs_where_nothing_but_numpy_is(model: Path, image: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'PIL', 'sluicegate', 'safetensors'): sys.modules[name] = None\n"
        "import sluicegate_command; sys.exit(sluicegate_command.main())"
    )
    run = [sys.executable, "-c", code, "predict", str(model), str(image)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment())
    assert json.loads(done.stdout)["file"] == str(image)
    done = subprocess.run([*run[:3], "train"], capture_output=True, text=True, env=environment())
    assert done.returncode == 1 and "sluicegate[train]" in done.stderr and done.stderr.count("\n") == 1


def test_one_bad_image_does_not_keep_the_others_from_their_answers(model: Path, image: Path, capsys) -> None:
    bad = {"cut.png": b"\x89PNG\r\n\x1a\n", "four.npy": b"", "empty.jpg": b""}
    for name, content in bad.items():
        (image.parent / name).write_bytes(content)
    np.save(image.parent / "four.npy", np.zeros((8, 8, 4), np.uint8))
    paths = [str(image.parent / name) for name in [*bad, "gone.png"]]
    assert main(["predict", str(model), str(image), *paths, str(image)]) == 2
    streams = capsys.readouterr()
    assert [json.loads(line)["file"] for line in streams.out.splitlines()] == [str(image)] * 2
    lines = streams.err.splitlines()
    assert len(lines) == len(paths)
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith(f"sluicegate: error: image: {path} ")


def test_a_run_folder_stands_for_its_file(model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(model.parent), str(image)]) == 0
    assert json.loads(capsys.readouterr().out)["class"] in ("cat", "dog")
    (model.parent / "empty").mkdir()
    assert main(["predict", str(model.parent / "empty"), str(image)]) == 2
    assert "empty/model.sluice: cannot be read: No such file" in capsys.readouterr().err


def test_in_python_the_first_bad_image_ends_it_unless_someone_is_told(model: Path, image: Path) -> None:
    session, told = Session(model), []
    with pytest.raises(InputError, match=r"image: gone\.png cannot be read"):
        list(predict(session, ["gone.png", image]))
    assert len(list(predict(session, ["gone.png", image], on_refusal=told.append))) == len(told) == 1


def unprepared(model: Path) -> Path:
    """The same network, exported without a word on preprocessing."""
    artifact = load_program(model)
    path = model.with_name("bare.sluice")
    save_program(path, replace(artifact.program, preprocessing=None), artifact.tensors)
    return path


def test_a_file_that_does_not_say_how_images_are_prepared_is_refused(model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(unprepared(model)), str(image)]) == 2
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.count("\n") == 1
    assert "exported without any, so how its images were normalised is unknown; say --preprocessing none" in streams.err
    with pytest.raises(InputError, match="preprocessing: the model was exported without any"):
        list(predict(Session(unprepared(model)), [image]))


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [
        ("0.5,0.4,0.3/0.25,0.2,0.5", MEAN, STD),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("none", (0, 0, 0), (1, 1, 1)),
    ],
)
def test_the_caller_may_say_how_images_are_prepared(said: str, mean, std, model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(unprepared(model)), str(image), "--preprocessing", said, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    pixels = (np.load(image).transpose(2, 0, 1) / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    scores = np.exp(Session(model).run(pixels[None].astype(np.float32)).output[0].astype(float))
    assert found["probability"] == pytest.approx(scores.max() / scores.sum(), abs=1e-5)


@pytest.mark.parametrize("said", ["", "imagnet", "0.5", "0.5/0", "a/b", "0.5,0.5/1", "nan/1", "0.5/1/1", "1/inf"])
def test_preprocessing_that_says_nothing_is_refused(said: str, model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(model), str(image), "--preprocessing", said]) == 2
    assert f"preprocessing: {said!r}" in capsys.readouterr().err


def test_preprocessing_of_other_channels_is_refused(model: Path, image: Path, capsys) -> None:
    assert main(["predict", str(model), str(image), "--preprocessing", "0.5/0.2"]) == 2
    assert "preprocessing: 1 means, 1 stds; the network has 3 channels" in capsys.readouterr().err


def test_scores_that_are_not_finite_are_no_prediction(model: Path, image: Path, capsys) -> None:
    artifact = load_program(model)
    save_program(model, artifact.program, {name: np.full_like(t, np.nan) for name, t in artifact.tensors.items()})
    assert main(["predict", str(model), str(image)]) == 1
    assert "scores are not finite" in capsys.readouterr().err


def test_nobody_who_reads_is_no_error_of_many_lines(model: Path, image: Path) -> None:
    run = [sys.executable, "-m", "sluicegate_runtime", "predict", str(model), *[str(image)] * 50]
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "verb"),
        (["predict", "absent.sluice", "a.png"], "absent.sluice"),
        (["predict", "MODEL", "absent.png"], "absent.png"),
        (["predict", "MODEL", "IMAGE", "--threads", "0"], "threads: 0"),
        (["predict", "MODEL", "IMAGE", "--threshold", "2"], "threshold: 2"),
        (["predict", "MODEL", "IMAGE", "--colour"], "--colour"),
    ],
)
def test_bad_usage_is_status_2(arguments: list[str], message: str, model: Path, image: Path, capsys) -> None:
    places = {"MODEL": str(model), "IMAGE": str(image)}
    assert main([places.get(a, a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("preprocessing", "classes", "message"),
    [
        (Preprocessing(mean=(0.5,), std=(1.0,)), (), "must have 3 figures"),
        (Preprocessing(mean=MEAN, std=(1.0, 0.0, 1.0)), (), "above 0"),
        (Preprocessing(resize=8, crop=9), (), "crop 9 must be at most resize 8"),
        (Preprocessing(resize=8.5, crop=8), (), "resize 8.5 must be a number of pixels"),  # pyright: ignore
        (Preprocessing(resize=8, crop=0), (), "crop 0 must be a number of pixels"),
        (Preprocessing(resize=-8, crop=-8), (), "resize -8 must be a number of pixels"),
        (Preprocessing(), ("cat",), r"1 classes, but outputs of shapes \(2,\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(preprocessing, classes, message, tmp_path: Path) -> None:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    made = b.program(x, b.linear(b.pooled(x), 2))
    program = replace(made, preprocessing=preprocessing, classes=classes)
    with pytest.raises(InputError, match=message):
        save_program(tmp_path / "model.sluice", program, b.tensors)


@pytest.mark.parametrize("outputs", [["scores", "scores"], ["map", "map"], ["small map"], ["map of one"]])
def test_what_is_no_classifier_is_refused(outputs: list[str], image: Path) -> None:
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    values = {"scores": b.linear(b.pooled(x), 2), "map": b.conv(x, 2)}
    values |= {"small map": b.conv(x, 2, stride=2), "map of one": b.conv(x, 1)}
    named = {f"{i}": values[name] for i, name in enumerate(outputs)}
    program = replace(b.program(x, named), preprocessing=Preprocessing())
    with pytest.raises(InputError, match=r"predict: the program's output is .*: it is no classifier"):
        list(predict(Session(Artifact(program, b.tensors)), [image]))


def test_the_version_is_that_of_the_package() -> None:
    code = "import sluicegate_command; sluicegate_command.main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, env=environment())
    assert done.stdout == f"sluicegate {version('sluicegate')}\n"
