"""What leaves for the engine: export, predict, bench, profile."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import printed, refused
from PIL import Image

from sluicegate.cli import main
from sluicegate.data import Normalize, load
from sluicegate.train import load_run
from sluicegate_runtime import LatencyTable, Session

UNKNOWN_OP = """
from torch import nn

class Sine(nn.Module):
    def forward(self, x):
        return x.sin()

def make(classes=10, in_channels=1):
    layers = nn.Conv2d(in_channels, 4, 3, 2), Sine(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    return nn.Sequential(*layers)
"""


def test_export_writes_what_the_engine_runs(capsys, run):
    found = printed(capsys, "export", "run", "-o", "net.sluice")
    assert found == {"file": "net.sluice", "bytes": Path("net.sluice").stat().st_size}
    test = load("digits", "test", limit=5)
    pixels = Normalize(test.mean, test.std)(test.images)
    result = Session("net.sluice").run(pixels.numpy())
    with torch.no_grad():
        output, gates = load_run("run")[1](pixels, return_gates=True)
    assert torch.allclose(torch.from_numpy(result.output), output, atol=1e-4)
    assert all((result.gates[name] == record.open.bool().numpy()).all() for name, record in gates.items())


def test_export_takes_an_operating_point(capsys, run, dense):
    printed(capsys, "export", "run", "-o", "half.sluice")
    printed(capsys, "export", "run", "-o", "high.sluice", "--threshold", "0.9999")
    pixels = Normalize((0.5,), (0.5,))(load("digits", "test", limit=5).images).numpy()
    half, high = Session("half.sluice"), Session("high.sluice")
    assert (high.run(pixels).macs == half.run(pixels, threshold=0.9999).macs).all()
    assert (high.run(pixels).macs < half.run(pixels).macs).all()
    assert "1.5 must lie between" in refused(capsys, 2, "export", "run", "--threshold", "1.5")
    assert "threshold: 0.7 is given, but the run in 'dense' has no gates" in refused(
        capsys, 2, "export", "dense", "--threshold", "0.7"
    )


def test_predict_says_of_a_file_what_evaluation_saw(capsys, run):
    printed(capsys, "export", "run", "-o", "net.sluice")
    test = load("digits", "test", limit=1)
    Image.fromarray(test.images[0, 0].numpy()).save("digit.png")
    found = printed(capsys, "predict", "net.sluice", "digit.png")
    with torch.no_grad():
        output = load_run("run")[1](Normalize(test.mean, test.std)(test.images))
    assert found["class"] == test.classes[int(output.argmax())]
    assert found["probability"] == pytest.approx(float(output.softmax(1).max()), abs=1e-4)


def test_bench_times_a_file_or_a_run_on_images_that_it_names(capsys, quick_peers, run):
    printed(capsys, "export", "run", "-o", "net.sluice")
    test = load("digits", "test", limit=3)
    for number, image in enumerate(test.images):
        Image.fromarray(image[0].numpy()).save(f"{number}.png")
    timed_on = {
        ("run",): "40 test images",
        ("small.yaml",): "40 test images",
        ("net.sluice", "0.png", "1.png", "2.png"): "3 image files",
        ("net.sluice",): "100 images of noise",
    }
    for arguments, source in timed_on.items():
        found = printed(capsys, "bench", *arguments, "--threads", "1", "--repeats", "1")
        assert found["timed_on"].startswith(source)
        assert [one["name"] for one in found["timings"]] == ["ours gated", "ours dense", "torch eager"]
        assert {"threads", "batch_size", "repeats", "left_out", "machine", "versions", "command"} <= found.keys()
    assert main(["bench", "net.sluice", "--repeats", "1", "--batch-size", "2"]) == 0
    assert "100 images of noise" in capsys.readouterr().out


def test_bench_says_what_is_left_out(capsys, quick_peers, run):
    assert main(["bench", "run", "--repeats", "1"]) == 0
    assert "left out: ONNX Runtime, onnx is not installed" in capsys.readouterr().out.splitlines()


def test_bench_refuses_what_it_cannot_time(capsys, quick_peers, run):
    for arguments, named in {
        ("absent.sluice",): "absent.sluice",
        ("run", "--threads", "0"): "threads: 0",
        ("run", "--batch-size", "41"): "batch_size: 41 is not in 1..40",
        ("run", "--repeats", "0"): "repeats: 0",
    }.items():
        assert main(["bench", *arguments]) == 2
        assert named in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.broad
def test_a_table_is_measured_trained_towards_and_compared(capsys, quick_peers):
    method = ["method.options.layer_weight=0", "method.options.channel_weight=0"]
    found = printed(capsys, "profile", "small.yaml", "--threads", "1", "-o", "tables/small.json")
    assert found.keys() == {"file", "dense_ms", "overhead_ms", "ops", "threads"}
    table = LatencyTable.load("tables/small.json")
    assert table.came_from.keys() == {"machine", "versions", "command"}
    # So small a network hardly gains by closed gates, and on a busy machine it may seem not to gain at all.
    Path("tables/small.json").write_text(replace(table, dense=10 * table.dense).to_json())
    ms = 5 * table.dense
    aimed = ("latency.table=tables/small.json", f"latency.ms={ms}", "latency.weight=20", *method)
    printed(capsys, "train", "small.yaml", *aimed, "--out", "run")
    Path("tables/small.json").rename("moved.json")
    found = printed(capsys, "bench", "run", "--threads", "1", "--repeats", "1", "--latency", "moved.json")
    assert 0 < found["predicted_ms"] < 5 * table.dense
    assert main(["bench", "run", "--threads", "2", "--latency", "moved.json"]) == 2
    assert "table: its threads is 1, here it is 2" in capsys.readouterr().err
    assert "latency: table None" in refused(capsys, 2, "train", "small.yaml", "latency.ms=1", "--out", "no")
    unreachable = ("latency.table=moved.json", "latency.ms=1000")
    assert "ms: 1000 is not from" in refused(capsys, 2, "train", "small.yaml", *unreachable, "--out", "no")


def test_what_cannot_be_exported_is_said_before_the_first_epoch_and_trained_all_the_same(capsys, workplace):
    (workplace / "odd.py").write_text(UNKNOWN_OP)
    arguments = ("train", "small.yaml", "net.name=odd:make", "net.options={}", "method.name=dense", "method.options={}")
    assert main([*arguments, "--out", "run", "--json"]) == 0
    said = capsys.readouterr().err.splitlines()
    (first,) = [number for number, line in enumerate(said) if "no file can be made for the engine" in line]
    epochs = [number for number, line in enumerate(said) if line.startswith("epoch")]
    assert "sin" in said[first] and first < min(epochs, default=len(said))
    assert not (workplace / "run" / "model.sluice").exists() and (workplace / "run" / "final.safetensors").exists()
