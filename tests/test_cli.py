"""The command line, in this process; `train/test_resume.py` and `train/test_distributed.py` start it as users do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import only_line, sluicegate
from PIL import Image

from sluicegate.analysis.peers import torch_eager
from sluicegate.cli import main
from sluicegate.data import Normalize, load
from sluicegate.recipes import demo
from sluicegate.train import load_run
from sluicegate_runtime import Session, LatencyTable

SMALL = """
name: small
data: {name: digits, batch_size: 64, limit_train: 128, limit_test: 40}
net: {name: resnet8, options: {width: 0.25}}
method: {name: dlcg}
epochs: 1
accelerator: cpu
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


def printed(capsys, *arguments):
    """What a command prints with --json, which is one JSON object on one line."""
    assert main([*arguments, "--json"]) == 0
    found = json.loads(only_line(capsys.readouterr().out))
    assert isinstance(found, dict)
    return found


def refused(capsys, status, *arguments):
    """The one line on standard error of a command that exits with `status`."""
    assert main(arguments) == status
    streams = capsys.readouterr()
    assert streams.out == ""
    line = only_line(streams.err)
    assert line.startswith("sluicegate: error: ")
    return line


def test_train_writes_a_run_folder_and_evaluate_finds_the_same(capsys, workplace):
    result = printed(capsys, "train", "small.yaml", "--out", "run", "seed=3", "data.batch_size=32")
    assert {path.name for path in (workplace / "run").iterdir()} == {
        "recipe.yaml",
        "metrics.csv",
        "last.ckpt",
        "best.safetensors",
        "result.json",
    }
    assert result == json.loads((workplace / "run" / "result.json").read_text())
    assert result["macs"].keys() == {"dense", "mean", "min", "max", "std"}
    assert result["open_rate"].keys() == {"layer", "channel"}
    assert result["machine"]["cores"] > 0
    assert "batch_size: 32" in (workplace / "run" / "recipe.yaml").read_text()
    measured = printed(capsys, "evaluate", "run")
    for key in ("accuracy", "images", "macs", "open_rate", "sites"):
        assert measured[key] == result[key], key
    assert measured["by_module"]["conv1"]["kind"] == "conv"
    assert not (workplace / "lightning_logs").exists()


def test_evaluate_takes_a_strategy_and_other_weights(capsys):
    main(["train", "small.yaml", "--out", "run", "--json"])
    capsys.readouterr()
    closed = printed(capsys, "evaluate", "run", "--tau", "0.999", "--weights", "run/best.safetensors")
    assert closed["open_rate"]["layer"] == 0
    opened = printed(capsys, "evaluate", "run", "--strategy", "always-on", "--limit", "7")
    assert opened["open_rate"] == {"layer": 1, "channel": 1}
    assert opened["images"] == 7
    assert "tau: 2.0" in refused(capsys, 2, "evaluate", "run", "--tau", "2")


def test_a_run_is_neither_overwritten_nor_continued_by_another_recipe(capsys, workplace):
    main(["train", "small.yaml", "--out", "run", "--json"])
    capsys.readouterr()
    kept = {path: path.read_bytes() for path in (workplace / "run").iterdir()}
    assert "--resume" in refused(capsys, 2, "train", "small.yaml", "--out", "run")
    assert "another recipe" in refused(capsys, 2, "train", "small.yaml", "seed=9", "--out", "run", "--resume")
    assert {path: path.read_bytes() for path in (workplace / "run").iterdir()} == kept


def test_a_finished_run_resumes_to_its_own_result(capsys):
    first = printed(capsys, "train", "small.yaml", "--out", "run")
    again = printed(capsys, "train", "small.yaml", "--out", "run", "--resume")
    assert again == first


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_checkpoint_is_named(length, capsys, workplace):
    main(["train", "small.yaml", "--out", "run", "--json"])
    capsys.readouterr()
    checkpoint = workplace / "run" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    (workplace / "run" / "result.json").unlink()  # cut off before it was finished
    for arguments in (("train", "small.yaml", "--out", "run", "--resume"), ("evaluate", "run")):
        assert "last.ckpt" in refused(capsys, 1, *arguments)


def test_frontier_draws_runs_beside_the_paper(capsys, workplace):
    main(["train", "small.yaml", "--out", "gated"])
    main(["train", "small.yaml", "method.name=dense", "--out", "dense"])
    capsys.readouterr()
    drawn = printed(capsys, "frontier", "gated", "dense", "--paper", "dlcg", "-o", "figures/f.png")
    assert [(one["name"], one["role"], len(one["points"])) for one in drawn["series"]] == [
        ("dlcg, resnet8", "gated", 1),
        ("dense", "dense", 1),
        ("DLCG, Table 1", "paper", 9),
    ]
    assert {path.name for path in (workplace / "figures").iterdir()} == {"f.png", "f.svg", "f.json"}


def test_demo_prints_its_middle_point_and_all_others(capsys, monkeypatch):
    def quick(name):
        made = demo.recipes()[name]()
        return replace(made, epochs=1, data=replace(made.data, limit_train=128, limit_test=40))

    monkeypatch.setattr("sluicegate.cli.recipe", quick)
    for _ in range(2):  # a second demo takes the place of the first
        found = printed(capsys, "demo", "--out", "demo")
    assert {"accuracy", "macs", "seconds", "points"} <= found.keys()
    assert {"dense", "mean", "min", "max"} <= found["macs"].keys()
    assert [point["name"] for point in found["points"]] == list(demo.NAMES.values())
    assert found["name"] == demo.NAMES["middle"]


def test_recipes_are_listed_one_a_line(capsys):
    assert "dlcg-resnet20-cifar10-row9" in printed(capsys, "recipes")
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("dlcg-resnet20-cifar10-row" in line for line in lines) == 9


def test_people_get_tables(capsys):
    assert main(["train", "small.yaml", "--out", "run"]) == 0
    streams = capsys.readouterr()
    assert "accuracy" in streams.out
    assert "layer1.0.conv1" in streams.out
    assert "epoch 1/1" in streams.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "verb"),
        (["fly"], "fly"),
        (["train"], "recipe"),
        (["train", "dlcg-resnet20"], "'dlcg-resnet20' is neither a recipe nor a YAML file"),
        (["train", "absent.yaml"], "absent.yaml"),
        (["train", "small.yaml", "--colour", "red"], "--colour"),
        (["train", "small.yaml", "epoch=3"], "epoch"),
        (["train", "small.yaml", "epochs"], "key=value"),
        (["train", "small.yaml", "epochs=none"], "epochs"),
        (["train", "small.yaml", "net.name=vgg"], "'vgg' is not a network"),
        (["train", "small.yaml", "method.name=skip"], "'skip' is not a method"),
        (["train", "small.yaml", "data.name=cifar11"], "'cifar11' is not a data set"),
        (["train", "small.yaml", "data.name=mine", "--data-dir", "nowhere"], "nowhere"),
        (["train", "small.yaml", "data.batch_size=4096"], "4096"),
        (["train", "small.yaml", "accelerator=abacus"], "abacus"),
        (["train", "small.yaml", "devices=none"], "devices=none"),
        (["train", "small.yaml", "net.weights=absent.safetensors"], "absent.safetensors"),
        (["evaluate", "resnet20"], "--weights"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors"], "--data"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits"], "absent.safetensors"),
        (["evaluate", "."], "not a run folder"),
        (["evaluate", "resnet20", "--strategy", "coin"], "coin"),
        (["evaluate", "resnet20", "--limit", "few"], "few"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits", "--limit", "0"], "limit_test"),
        (["evaluate", "resnet20", "--weights", "absent.safetensors", "--data", "digits", "--size", "0"], "size"),
        (["train", "small.yaml", "method.options.layer_weight=null"], "layer_weight"),
        (["bench", "small.yaml", "--table", "-o", "small.yaml/table.json"], "small.yaml/table.json: cannot be written"),
        (["bench", "small.yaml", "--table", "-o", "."], "cannot be written: it is a folder"),
        (["train", "small.yaml", "--out", "small.yaml/run"], "small.yaml/run/recipe.yaml: cannot be written"),
        (["frontier"], "runs"),
        (["frontier", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments, named, capsys, monkeypatch, workplace):
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    before = sorted(workplace.iterdir())
    assert named in refused(capsys, 2, *arguments)
    assert sorted(workplace.iterdir()) == before, "a refused command leaves nothing behind"


def test_what_does_not_fit_a_run_is_refused(capsys):
    printed(capsys, "train", "small.yaml", "--out", "run")
    assert "'squeezenet' is not known" in refused(capsys, 2, "frontier", "run", "--paper", "squeezenet")
    assert "cannot be written" in refused(capsys, 2, "frontier", "run", "-o", "small.yaml/figure.png")
    for other in (["--strategy", "ensemble"], ["--tau", "0.3"]):
        assert "sweep: it measures" in refused(capsys, 2, "evaluate", "run", "--sweep", "[0.5]", *other)


def test_a_finished_run_that_is_resumed_keeps_its_result(capsys):
    first, again = (printed(capsys, "train", "small.yaml", "--out", "run", "--resume") for _ in range(2))
    assert first == again


def test_a_network_that_cannot_be_traced_is_refused(capsys, monkeypatch):
    from torch import nn

    class Fickle(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    monkeypatch.setattr("sluicegate.train.build.build_net", lambda name, **options: Fickle())
    assert "Fickle" in refused(capsys, 2, "train", "small.yaml", "--out", "run")


def test_images_of_several_sizes_are_refused(capsys, workplace):
    for split in ("train", "val"):
        for number, size in enumerate((32, 40)):
            folder = workplace / "photos" / split / "cat"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (size, size)).save(folder / f"{number}.png")
    line = refused(capsys, 2, "train", "small.yaml", "data.name=photos", "--data-dir", "photos", "--out", "run")
    assert "size" in line


def test_a_nan_loss_ends_with_status_1(capsys):
    assert main(["train", "small.yaml", "optimizer.lr=1e30", "--out", "run"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("sluicegate: error: loss: not finite at epoch 1")


def test_the_command_is_quiet_where_it_has_nothing_to_say(workplace):
    done = sluicegate("train", "small.yaml", "--out", "run", "--json", cwd=workplace)
    assert json.loads(only_line(done.stdout))["epochs"] == 1
    assert only_line(done.stderr).startswith("epoch 1/1")


def test_weights_of_2018_give_the_accuracy_that_is_known(capsys, data_root):
    weights = data_root.parent / "weights" / "cifar10_resnet20.safetensors"
    if not weights.exists():
        pytest.skip(f"{weights.name} is not beside the data")
    found = printed(
        capsys, "evaluate", "resnet20", "--weights", str(weights), "--data", "cifar10", "--normalize", "imagenet",
        "--limit", "1000",
    )  # fmt: skip
    assert found["accuracy"] == 0.91
    assert found["macs"]["dense"] == 40_551_040


def test_export_writes_what_the_engine_runs(capsys):
    printed(capsys, "train", "small.yaml", "--out", "run")
    found = printed(capsys, "export", "run", "-o", "net.sluice")
    assert found == {"file": "net.sluice", "bytes": Path("net.sluice").stat().st_size}
    test = load("digits", "test", limit=5)
    pixels = Normalize(test.mean, test.std)(test.images)
    result = Session("net.sluice").run(pixels.numpy())
    with torch.no_grad():
        output, gates = load_run("run")[1](pixels, return_gates=True)
    assert torch.allclose(torch.from_numpy(result.output), output, atol=1e-4)
    assert all((result.gates[name] == record.open.bool().numpy()).all() for name, record in gates.items())


def test_export_takes_an_operating_point(capsys):
    printed(capsys, "train", "small.yaml", "--out", "run")
    printed(capsys, "export", "run", "-o", "half.sluice")
    printed(capsys, "export", "run", "-o", "high.sluice", "--tau", "0.9999")
    pixels = Normalize((0.5,), (0.5,))(load("digits", "test", limit=5).images).numpy()
    half, high = Session("half.sluice"), Session("high.sluice")
    assert (high.run(pixels).macs == half.run(pixels, threshold=0.9999).macs).all()
    assert (high.run(pixels).macs < half.run(pixels).macs).all()
    assert "tau: 1.5 must lie between" in refused(capsys, 2, "export", "run", "--tau", "1.5")
    printed(capsys, "train", "small.yaml", "method.name=dense", "--out", "dense")
    assert "tau: 0.7 is given, but the run in 'dense' has no gates" in refused(
        capsys, 2, "export", "dense", "--tau", "0.7"
    )


def test_predict_says_of_a_file_what_evaluation_saw(capsys):
    printed(capsys, "train", "small.yaml", "--out", "run")
    printed(capsys, "export", "run", "-o", "net.sluice")
    test = load("digits", "test", limit=1)
    Image.fromarray(test.images[0, 0].numpy()).save("digit.png")
    found = printed(capsys, "predict", "net.sluice", "digit.png")
    with torch.no_grad():
        output = load_run("run")[1](Normalize(test.mean, test.std)(test.images))
    assert found["class"] == test.classes[int(output.argmax())]
    assert found["probability"] == pytest.approx(float(output.softmax(1).max()), abs=1e-4)


@pytest.fixture
def quick_peers(monkeypatch):
    """PyTorch as it comes stands in for what takes long to prepare."""
    monkeypatch.setattr("sluicegate.bench.dense_peers", lambda net, example, threads: {"torch eager": torch_eager(net)})


def test_bench_times_a_file_or_a_run_on_images_that_it_names(capsys, quick_peers):
    printed(capsys, "train", "small.yaml", "--out", "run")
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
        assert {"threads", "images", "repeats", "left_out", "machine", "versions", "command"} <= found.keys()
    assert main(["bench", "net.sluice", "--repeats", "1", "--images", "2"]) == 0
    assert "100 images of noise" in capsys.readouterr().out


def test_bench_says_what_is_left_out(capsys, quick_peers, monkeypatch):
    printed(capsys, "train", "small.yaml", "--out", "run")
    monkeypatch.setattr("sluicegate.cli.missing_peers", lambda: {"ONNX Runtime": "onnx"})
    assert main(["bench", "run", "--repeats", "1"]) == 0
    assert "left out: ONNX Runtime, onnx is not installed" in capsys.readouterr().out.splitlines()


def test_bench_refuses_what_it_cannot_time(capsys, quick_peers):
    printed(capsys, "train", "small.yaml", "--out", "run")
    for arguments, named in {
        ("absent.sluice",): "absent.sluice",
        ("run", "--threads", "0"): "threads: 0",
        ("run", "--images", "41"): "images: 41 at a call is not in 1..40",
        ("run", "--repeats", "0"): "repeats: 0",
    }.items():
        assert main(["bench", *arguments]) == 2
        assert named in capsys.readouterr().err.splitlines()[-1]


def test_a_table_is_measured_trained_towards_and_compared(capsys, quick_peers):
    method = ["method.options.layer_weight=0", "method.options.channel_weight=0"]
    found = printed(capsys, "bench", "small.yaml", "--table", "--threads", "1", "-o", "tables/small.json")
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


def test_evaluate_sweeps_and_repeats(capsys):
    printed(capsys, "train", "small.yaml", "--out", "run")
    swept = printed(capsys, "evaluate", "run", "--sweep", "[0.1,0.9]")["points"]
    assert [point["macs"]["repeats"] for point in swept.values()] == [1, 1]
    assert list(swept) == sorted(swept, key=lambda name: -swept[name]["macs"]["mean"])
    repeated = printed(capsys, "evaluate", "run", "--strategy", "stochastic", "--repeats", "3")["points"]
    (point,) = repeated.values()
    assert point["accuracy"]["repeats"] == 3 and point["macs"]["std"] > 0
    assert "sweep: []" in refused(capsys, 2, "evaluate", "run", "--sweep", "[]")
