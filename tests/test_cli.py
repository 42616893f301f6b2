"""The command line, in this process; `train/test_resume.py` and `train/test_distributed.py` start it as users do."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import only_line, sluicegate
from PIL import Image

from sluicegate.analysis.peers import Peers, torch_eager
from sluicegate.cli import main
from sluicegate.data import Normalize, load
from sluicegate.recipes import demo
from sluicegate.train import load_run, read_run_recipe, read_run_spec
from sluicegate_runtime import LatencyTable, Session

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the finished runs `run` and `dense`, for tests that need one and do not ask how it came to be."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(SMALL)
    for name, more in {"run": [], "dense": ["method.name=dense"]}.items():
        assert main(["train", str(folder / "small.yaml"), *more, "--out", str(folder / name), "--json"]) == 0
    return folder


@pytest.fixture
def run(trained, workplace):
    """The run folder `run` of small.yaml, the test's own."""
    return shutil.copytree(trained / "run", workplace / "run")


@pytest.fixture
def dense(trained, workplace):
    """The run folder `dense`: small.yaml without gates."""
    return shutil.copytree(trained / "dense", workplace / "dense")


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
        "data.json",
        "last.ckpt",
        "best.safetensors",
        "final.safetensors",
        "result.json",
        "model.sluice",
    }
    assert result == json.loads((workplace / "run" / "result.json").read_text())
    assert result["macs"].keys() == {"dense", "mean", "min", "max", "std"}
    assert result["open_rate"].keys() == {"layer", "channel"}
    assert result["machine"]["cores"] > 0
    assert "batch_size: 32" in (workplace / "run" / "recipe.yaml").read_text()
    (*_, last) = csv.DictReader((workplace / "run" / "metrics.csv").open())
    assert {name: float(rate) for name, rate in last.items() if ":" in name} == {
        f"open:{site}": rate for site, rate in result["sites"].items()
    }
    measured = printed(capsys, "evaluate", "run")
    for key in ("accuracy", "images", "macs", "open_rate", "sites"):
        assert measured[key] == result[key], key
    assert measured["by_module"]["conv1"]["kind"] == "conv"
    assert not (workplace / "lightning_logs").exists()


def test_evaluate_takes_a_strategy_and_other_weights(capsys, run):
    closed = printed(capsys, "evaluate", "run", "--threshold", "0.999", "--weights", "run/best.safetensors")
    assert closed["open_rate"]["layer"] == 0
    opened = printed(capsys, "evaluate", "run", "--strategy", "always-on", "--limit", "7")
    assert opened["open_rate"] == {"layer": 1, "channel": 1}
    assert opened["images"] == 7
    assert "2.0 must lie between 0 and 1" in refused(capsys, 2, "evaluate", "run", "--threshold", "2")


def test_a_run_is_neither_overwritten_nor_continued_by_another_recipe(capsys, workplace, run):
    kept = {path: path.read_bytes() for path in (workplace / "run").iterdir()}
    assert "--resume" in refused(capsys, 2, "train", "small.yaml", "--out", "run")
    for other, named in {
        "seed=9": "resume: seed is 9, but 0 in the run in 'run'; only epochs may grow",
        "optimizer.lr=0.2": "resume: optimizer.lr is 0.2, but 0.1 in the run",
        "method.options.layer_weight=1": "resume: method.options.layer_weight is 1, but not given in the run",
        "data.limit_test=30": "resume: data.limit_test is 30, but 40 in the run",
    }.items():
        assert named in refused(capsys, 2, "train", "small.yaml", other, "--out", "run", "--resume")
    assert {path: path.read_bytes() for path in (workplace / "run").iterdir()} == kept


def test_a_finished_run_resumes_to_its_own_result(capsys):
    first = printed(capsys, "train", "small.yaml", "--out", "run")
    again = printed(capsys, "train", "small.yaml", "--out", "run", "--resume")
    assert again == first


def test_a_finished_run_goes_on_for_more_epochs(capsys, workplace, run):
    more = printed(capsys, "train", "small.yaml", "epochs=3", "--out", "run", "--resume")
    assert more["epochs"] == 3
    assert len((workplace / "run" / "metrics.csv").read_text().splitlines()) == 1 + 3
    assert "epochs: 3" in (workplace / "run" / "recipe.yaml").read_text()
    assert printed(capsys, "evaluate", "run")["accuracy"] == more["accuracy"]
    fewer = refused(capsys, 2, "train", "small.yaml", "--out", "run", "--resume")
    assert "resume: epochs is 1, and the run in 'run' has 3" in fewer


def test_a_run_that_goes_on_and_is_cut_off_is_not_taken_for_finished(capsys, workplace, monkeypatch):
    printed(capsys, "train", "small.yaml", "--out", "run")
    arguments = ("train", "small.yaml", "epochs=2", "--out", "run", "--resume")
    with monkeypatch.context() as patch:
        patch.setattr("lightning.Trainer.fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(arguments) == 130
    assert not (workplace / "run" / "result.json").exists()
    assert printed(capsys, *arguments)["epochs"] == 2


def test_a_run_is_not_resumed_on_other_images(capsys, workplace):
    photos(workplace / "photos")
    shutil.copytree(workplace / "photos", workplace / "others")
    for split in ("train", "val"):
        (workplace / "others" / split / "cat").rename(workplace / "others" / split / "bat")
    arguments = ("train", "small.yaml", "data.name=photos", "data.batch_size=2", "data.size=32", "--out", "run")
    printed(capsys, *arguments, "--data-dir", "photos")
    (workplace / "run" / "result.json").unlink()
    line = refused(capsys, 2, *arguments, "--data-dir", "others", "--resume")
    assert "resume: the data's classes is ['bat', 'dog'], but ['cat', 'dog'] in the run in 'run'" in line


def photos(folder):
    """Two pictures of either class, for training and for measuring."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for split in ("train", "val"):
            (folder / split / name).mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 256, (34, 40, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def test_a_run_folder_stands_on_its_own(capsys, workplace, quick_peers):
    """Moved away from its data set, a run is exported, predicts and is timed; only `evaluate` asks for images."""
    photos(workplace / "photos")
    arguments = ("data.name=photos", "data.batch_size=2", "data.size=32", "--data-dir", "photos", "--out", "run")
    printed(capsys, "train", "small.yaml", *arguments)
    seen = printed(capsys, "predict", "run/model.sluice", "photos/val/cat/0.png")
    shutil.copy("photos/val/cat/0.png", "cat.png")
    shutil.rmtree("photos")
    (workplace / "run").rename("moved")
    for name in ("last.ckpt", "best.safetensors", "metrics.csv"):
        Path("moved", name).unlink()
    printed(capsys, "export", "moved", "-o", "net.sluice")
    for file in ("net.sluice", "moved/model.sluice"):
        again = printed(capsys, "predict", file, "cat.png")
        assert {**again, "ms": 0, "file": ""} == {**seen, "ms": 0, "file": ""}
    timed = printed(capsys, "bench", "moved", "--repeats", "1", "--threads", "1")
    assert timed["timed_on"].startswith("100 images of noise (data: 'photos' is not a data set")
    assert "'nowhere' is not a folder" in refused(capsys, 2, "bench", "moved", "--data-dir", "nowhere")
    assert printed(capsys, "profile", "moved", "--threads", "1")["ops"] > 0
    assert "'photos' is not a data set" in refused(capsys, 2, "evaluate", "moved")


@pytest.mark.parametrize("content", [None, "{", "{}", '{"shape": [1, 32], "classes": [], "mean": [0], "std": [1]}'])
def test_a_run_that_does_not_know_its_data_is_named(content, capsys, workplace, run):
    (workplace / "run" / "data.json").unlink()
    if content is not None:
        (workplace / "run" / "data.json").write_text(content)
    assert "run/data.json' is not the description of a run's data" in refused(capsys, 2, "export", "run")


def test_a_run_is_measured_with_the_mean_and_std_that_it_was_trained_with(capsys, workplace):
    photos(workplace / "photos")
    photos(workplace / "darker")
    for path in (workplace / "darker").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 4).save(path)
    sized = ("data.name=photos", "data.batch_size=2", "data.size=32", "--data-dir", "photos", "--out", "run")
    printed(capsys, "train", "small.yaml", *sized)
    spec = read_run_spec("run")
    net, pixels = load_run("run")[1], load("darker", "test", "darker", size=32)
    with torch.no_grad():
        output, _ = net(Normalize(spec.mean, spec.std)(pixels.images), return_gates=True)
    wanted = (output.argmax(1) == pixels.labels).double().mean().item()
    assert spec.mean != pixels.mean
    found = printed(capsys, "evaluate", "run", "--data-dir", "darker")
    assert found["accuracy"] == wanted
    for split in ("train", "val"):
        (workplace / "darker" / split / "cat").rename(workplace / "darker" / split / "bat")
    line = refused(capsys, 2, "evaluate", "run", "--data-dir", "darker")
    assert "data: its classes are not those of the run: 'bat' is one of either only" in line


def test_macs_are_those_of_the_size_that_is_measured(capsys, run):
    small, large = (printed(capsys, "evaluate", "run", "--size", size)["macs"]["dense"] for size in ("32", "64"))
    assert 3.9 < large / small < 4.0  # all but the classifier grow with the pixels


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_checkpoint_is_named(length, capsys, workplace, run):
    checkpoint = workplace / "run" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    for name in ("result.json", "final.safetensors"):  # cut off before it was finished
        (workplace / "run" / name).unlink()
    for arguments in (("train", "small.yaml", "--out", "run", "--resume"), ("evaluate", "run")):
        assert "last.ckpt" in refused(capsys, 1, *arguments)


def test_frontier_draws_runs_beside_the_paper(capsys, workplace, run, dense):
    run.rename("gated")
    drawn = printed(capsys, "frontier", "gated", "dense", "--paper", "dlcg", "-o", "figures/f.png")
    assert [(one["name"], one["role"], len(one["points"])) for one in drawn["series"]] == [
        ("dlcg, resnet8", "gated", 1),
        ("dense", "dense", 1),
        ("DLCG, Table 1", "paper", 9),
    ]
    assert {path.name for path in (workplace / "figures").iterdir()} == {"f.png", "f.svg", "f.json"}
    timed = printed(capsys, "frontier", "gated", "dense", "--in", "ms", "-o", "times/f.html")
    assert all(point["milliseconds"] > 0 for one in timed["series"] for point in one["points"])
    assert {path.name for path in (workplace / "times").iterdir()} == {"f.html", "f.json"}
    line = refused(capsys, 2, "frontier", "gated", "--in", "ms", "--paper", "dlcg")
    assert "milliseconds of 'paper: DLCG, Table 1' are not known" in line


@pytest.mark.broad
def test_demo_prints_its_middle_point_and_all_others(capsys, monkeypatch, run):
    def quick(name):
        made = demo.recipes()[name]()
        return replace(made, epochs=1, data=replace(made.data, limit_train=128, limit_test=40))

    monkeypatch.setattr("sluicegate.cli.recipe", quick)
    shutil.move(run, Path("demo", demo.NAMES["middle"]))  # of an earlier demo, whose place it takes
    found = printed(capsys, "demo", "--out", "demo")
    assert {"accuracy", "macs", "seconds", "points"} <= found.keys()
    assert {"dense", "mean", "min", "max"} <= found["macs"].keys()
    assert [point["name"] for point in found["points"]] == list(demo.NAMES.values())
    assert found["name"] == demo.NAMES["middle"] == read_run_recipe(Path("demo", demo.NAMES["middle"])).name
    assert found["report"] == str(Path("demo") / "report.html") and Path(found["report"]).is_file()


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
        (["profile", "small.yaml", "-o", "small.yaml/table.json"], "small.yaml/table.json: cannot be written"),
        (["profile", "small.yaml", "-o", "."], "cannot be written: it is a folder"),
        (["train", "small.yaml", "--out", "small.yaml/run"], "small.yaml/run/data.json: cannot be written"),
        (["frontier"], "runs"),
        (["frontier", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments, named, capsys, monkeypatch, workplace):
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    before = sorted(workplace.iterdir())
    assert named in refused(capsys, 2, *arguments)
    assert sorted(workplace.iterdir()) == before, "a refused command leaves nothing behind"


def test_what_does_not_fit_a_run_is_refused(capsys, run, dense):
    assert "'squeezenet' is not known" in refused(capsys, 2, "frontier", "run", "--paper", "squeezenet")
    assert "cannot be written" in refused(capsys, 2, "frontier", "run", "-o", "small.yaml/figure.png")
    for options, named in {
        ("--strategy", "stochastic", "--threshold", "0.3"): "threshold: [0.3] is given, but the stochastic strategy",
        ("--strategy", "ensemble", "--threshold", "0.3"): "threshold: [0.3] is given, but the ensemble strategy",
        ("--strategy", "always-on", "--passes", "3"): "passes: 3 is given, but the always-on strategy has none",
        ("--passes", "3"): "passes: 3 is given, but the threshold strategy has none",
        ("--strategy", "ensemble", "--passes", "0"): "passes: 0",
    }.items():
        assert named in refused(capsys, 2, "evaluate", "run", *options)
    for option, value in {"--strategy": "always-on", "--threshold": "0.5", "--passes": "3"}.items():
        assert "is given, but small has no gates" in refused(capsys, 2, "evaluate", "dense", option, value)


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


LEFT_OUT = {"ONNX Runtime": "onnx is not installed"}


def _only_torch(net) -> Peers:
    return Peers({"torch eager": torch_eager(net)}, LEFT_OUT)


@pytest.fixture
def quick_peers(monkeypatch):
    """PyTorch as it comes stands in for what takes long to prepare."""
    monkeypatch.setattr(
        "sluicegate.bench.dense_peers", lambda net, *_: Peers({"torch eager": torch_eager(net)}, LEFT_OUT)
    )


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


def test_evaluate_sweeps_and_repeats(capsys, run):
    swept = printed(capsys, "evaluate", "run", "--threshold", "0.1", "0.9")["points"]
    assert [point["macs"]["repeats"] for point in swept.values()] == [1, 1]
    assert list(swept) == sorted(swept, key=lambda name: -swept[name]["macs"]["mean"])
    repeated = printed(capsys, "evaluate", "run", "--strategy", "stochastic", "--repeats", "3")["points"]
    (point,) = repeated.values()
    assert point["accuracy"]["repeats"] == 3 and point["macs"]["std"] > 0
    assert "threshold" in refused(capsys, 2, "evaluate", "run", "--threshold")


def test_sites_say_what_can_be_gated(capsys):
    found = printed(capsys, "sites", "resnet8", "--size", "32")
    assert len(found["layers"]) == 8 and 0.9 < found["by_channels"] < 1
    assert main(["sites", "resnet8", "--size", "32"]) == 0
    text = capsys.readouterr().out
    assert "a shortcut carries its channels" in text and "in 3 residual branches" in text
    assert "depth: 7 must be 6n + 2" in refused(capsys, 2, "sites", "resnet7")
    assert "does not accept inputs of shape (1, 3, 0, 0)" in refused(capsys, 2, "sites", "resnet8", "--size", "0")


UNKNOWN_OP = """
from torch import nn

class Sine(nn.Module):
    def forward(self, x):
        return x.sin()

def make(classes=10, in_channels=1):
    layers = nn.Conv2d(in_channels, 4, 3, 2), Sine(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    return nn.Sequential(*layers)
"""


def test_what_cannot_be_exported_is_said_before_the_first_epoch_and_trained_all_the_same(capsys, workplace):
    (workplace / "odd.py").write_text(UNKNOWN_OP)
    arguments = ("train", "small.yaml", "net.name=odd:make", "net.options={}", "method.name=dense", "method.options={}")
    assert main([*arguments, "--out", "run", "--json"]) == 0
    said = capsys.readouterr().err.splitlines()
    (first,) = [number for number, line in enumerate(said) if "no file can be made for the engine" in line]
    epochs = [number for number, line in enumerate(said) if line.startswith("epoch")]
    assert "sin" in said[first] and first < min(epochs, default=len(said))
    assert not (workplace / "run" / "model.sluice").exists() and (workplace / "run" / "final.safetensors").exists()
