"""The verb `prune`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import small_recipe
from commands import only_line
from random_gatings import tell_images_apart

from sluicegate.cli import main
from sluicegate.convert import GatedModel
from sluicegate.costs import BY_IMAGE
from sluicegate.cutting import settled_gates, without_gates
from sluicegate.data import Normalize, load
from sluicegate.train import load_run
from sluicegate.train.weights import save_weights
from sluicegate_runtime import Session

SMALL = small_recipe("channel_only")
BUILD = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("sluicegate"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import torch
from load_pruned import load_pruned

images, expected = torch.load("images.pt")
torch.testing.assert_close(load_pruned("pruned.safetensors")(images), expected, rtol=1e-5, atol=1e-5)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(SMALL)
    assert main(["train", str(folder / "small.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def _printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(only_line(capsys.readouterr().out))


def _gated(run: Path) -> GatedModel:
    net = load_run(run)[1]
    assert isinstance(net, GatedModel)
    return net.eval()


def _images() -> torch.Tensor:
    train = load("digits", "train", limit=128)
    return Normalize(train.mean, train.std)(train.images)


@pytest.mark.broad
def test_plain_files_are_built_without_sluicegate(capsys, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "pruned.safetensors"
    found = _printed(capsys, "prune", run, "-o", file, "--share", 0.5)
    gated = _gated(run)
    gates = sum(site.gates for site in gated.sites.values())
    assert found["gates"] == found["settled"] == gates
    assert found["images"] == 128
    plain = without_gates(gated, settled_gates(gated, _images(), 0.5))
    with torch.no_grad():
        torch.save((_images()[:4], plain(_images()[:4])), tmp_path / "images.pt")
    subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, check=True)
    described = json.loads(file.with_suffix(".json").read_text())
    assert described["classes"] == [str(digit) for digit in range(10)]
    assert described["input"] == [1, 32, 32]


def test_the_engine_runs_what_is_left(capsys, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "pruned.sluice"
    gated = _gated(run)
    tell_images_apart(gated)
    with torch.no_grad():
        for name, bias in gated.named_parameters():
            if name.endswith("outputs.0.bias"):
                bias.zero_()
                bias[::2] = -100.0
    settled = settled_gates(gated, _images())
    assert any((does == BY_IMAGE).any() for does in settled.values())
    found = _printed(capsys, "prune", _with_weights(gated, run, tmp_path), "-o", file)
    assert 0 < found["settled"] < found["gates"]
    with torch.no_grad():
        expected = gated(_images())
    assert torch.allclose(torch.from_numpy(Session(file).run(_images().numpy()).output), expected, atol=1e-3)


def _with_weights(net: torch.nn.Module, run: Path, folder: Path) -> Path:
    """The run with other final weights."""
    copied = folder / "run"
    shutil.copytree(run, copied)
    save_weights(net, copied / "final.safetensors")
    return copied


def test_refusals(capsys, run: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((run, "-o", tmp_path / "pruned.pt"), "must end in .safetensors or .sluice"),
        (("resnet8-digits", "-o", tmp_path / "pruned.sluice"), "has no gates, so there is nothing to prune"),
        ((run, "-o", tmp_path / "pruned.sluice", "--share", 0.2), "share: 0.2 must lie in [0.5, 1]"),
    ):
        capsys.readouterr()
        assert main(["prune", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("pruned*"))
