"""A folder to work in, two small runs that are finished, and peers that take no time."""

import shutil

import pytest
from command_line import LEFT_OUT, SMALL

from sluicegate.analysis.peers import Peers, torch_eager
from sluicegate.cli import main


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


@pytest.fixture(scope="session")
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


@pytest.fixture
def quick_peers(monkeypatch):
    """PyTorch as it comes stands in for what takes long to prepare."""
    monkeypatch.setattr(
        "sluicegate.bench.dense_peers", lambda net, *_: Peers({"torch eager": torch_eager(net)}, LEFT_OUT)
    )
