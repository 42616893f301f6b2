"""The Python of every docs page runs. (The README's has a test of its own, `test_readme.py`.)

A page's blocks run one after another in one namespace, in an empty folder. What a page takes for granted, such as a
trained network, is in the table `TAKEN`. Tutorials take nothing for granted; `make docs` runs them once more, for their
output.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pages import PAGES, ROOT, blocks_of, name_of, python_of
from PIL import Image
from torch import nn

import sluicegate as sg
from sluicegate.cutting import load_pruned, save_pruned
from sluicegate.data import ImageSet
from sluicegate.nets import build_net
from sluicegate.train import Tuning
from sluicegate_runtime import LatencyTable, Preprocessing, load_program, measure_latency

SIDE = 32
CLASSES = ("bird", "cat", "dog")


def _gated(**how: Any) -> sg.GatedModel:
    torch.manual_seed(0)
    net = build_net("resnet8", classes=len(CLASSES))
    return sg.gate_model(net, sg.ChannelGating(**how), torch.zeros(1, 3, SIDE, SIDE)).eval()


def _images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, SIDE, SIDE), np.float32)


def _files(gated: sg.GatedModel) -> None:
    """net.sluice, cat.png and a folder of photos."""
    sg.export(gated, "net.sluice", preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3), classes=CLASSES)
    rng = np.random.default_rng(0)
    for name in CLASSES:
        Path("photos", name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(rng.integers(0, 256, (40, 36, 3), np.uint8)).save(f"photos/{name}/{number}.png")
    Image.open("photos/cat/0.png").save("cat.png")


def _read_a_file() -> dict[str, Any]:
    sg.export(sg.load_pretrained("resnet20-cifar10-0.5"), "net.sluice")
    return {}


def _deploy() -> dict[str, Any]:
    _files(_gated())
    return {"images": _images()}


def _report() -> dict[str, Any]:
    _files(_gated())
    return {}


def _finetune() -> dict[str, Any]:
    loader = [(torch.randn(4, 3, 224, 224), torch.arange(4)) for _ in range(2)]
    return {"Tuning": Tuning, "torch": torch, "net": build_net("resnet8"), "loader": loader, "epochs": 1}


def _latency() -> dict[str, Any]:
    gated = _gated()
    _files(gated)
    table = _slower(measure_latency(load_program("net.sluice"), threads=1), dense=0.3)
    Path("table.json").write_text(table.to_json())
    output, gates = gated(torch.from_numpy(_images(len(CLASSES))), return_gates=True)
    trained = {"gated": gated, "output": output, "labels": torch.arange(len(CLASSES)), "gates": gates, "progress": 0.5}
    return {**trained, "net": build_net("resnet8"), "example": torch.zeros(1, 3, SIDE, SIDE), "steps": 4}


def _slower(table: LatencyTable, dense: float) -> LatencyTable:
    """The table of a machine that takes so many milliseconds for the dense network."""
    by = dense / table.dense
    ops = {
        name: replace(op, open=(by * np.array(op.open)).tolist(), closed=by * op.closed)
        for name, op in table.ops.items()
    }
    return replace(table, dense=dense, overhead=by * table.overhead, ops=ops)


def _exits() -> dict[str, Any]:
    return {"sg": sg, "net": build_net("resnet8"), "example_inputs": torch.zeros(1, 3, SIDE, SIDE)}


def _prune() -> dict[str, Any]:
    gated, images = _gated(initial_open_rate=0.5), torch.from_numpy(_images())
    save_pruned(sg.prune(gated, images, share=0.5), "pruned.safetensors", torch.zeros(1, 3, SIDE, SIDE))
    Path("load_pruned.py").write_text(Path(str(load_pruned.__file__)).read_text())
    pixels = torch.randint(0, 256, (9, 3, SIDE, SIDE), dtype=torch.uint8)
    train = ImageSet(pixels, torch.arange(9) % len(CLASSES), CLASSES, (0.5,) * 3, (0.5,) * 3)
    return {"sg": sg, "gated": gated, "images": images, "train": train}


def _shaping() -> dict[str, Any]:
    body, last = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 16)), nn.Linear(16, len(CLASSES))
    return {"body": body, "last": last, "images": torch.from_numpy(_images(3)), "labels": torch.arange(3)}


TAKEN: dict[str, Callable[[], dict[str, Any]]] = {
    "docs/batch_shaping_feature.md": _shaping,
    "docs/deploy.md": _deploy,
    "docs/finetune.md": _finetune,
    "docs/latency.md": _latency,
    "docs/prune.md": _prune,
    "docs/read_a_file.md": _read_a_file,
    "docs/report.md": _report,
    "docs/stochastic_gates.md": _exits,
}
"""Page -> makes the files in the working directory, and returns the names, that it takes for granted."""


CAME_OF: dict[str, Callable[[dict[str, Any]], bool]] = {
    "docs/tutorials/gate_and_finetune.md": lambda known: (
        known["after"].macs.mean < 0.6 * known["after"].macs.dense
        and known["after"].accuracy > known["before"].accuracy - 0.05
    ),
    "docs/tutorials/milliseconds.md": lambda known: (
        known["predicted"] < known["latency"].dense and known["accuracy"] > 0.9
    ),
    "docs/tutorials/segmentation.md": lambda known: (
        known["after"].macs.mean < 0.75 * known["after"].macs.dense and known["after"].mean_iou > 0.8
    ),
}
"""Page -> whether its training did what it says; not what it took in time, which no test says."""


def _with_code() -> Iterator[Any]:
    for page in PAGES:
        if python_of(page):
            slow = [pytest.mark.slow] if page.parent.name == "tutorials" else []
            yield pytest.param(page, id=name_of(page), marks=slow)


@pytest.mark.cases(3)
@pytest.mark.parametrize("page", list(_with_code()))
def test_the_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = {"__name__": "page", **TAKEN.get(name_of(page), dict)()}
    for block in python_of(page):
        exec(compile("\n" * block.line + block.text, str(page), "exec"), known)
    if came_true := CAME_OF.get(name_of(page)):
        assert came_true(known)


def test_the_reader_reads_what_the_runtime_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _read_a_file()
    page = ROOT / "docs" / "read_a_file.md"
    known: dict[str, Any] = {}
    for block in python_of(page):
        exec(block.text, known)
    (output,) = [block.text for block in blocks_of(page) if block.language == ""]
    assert capsys.readouterr().out.startswith(output)
    artifact = load_program("net.sluice")
    assert known["program"] == json.loads(artifact.program.to_json())
    assert known["tensors"].keys() == artifact.tensors.keys()
    assert all((known["tensors"][name] == tensor).all() for name, tensor in artifact.tensors.items())


def test_the_table_has_no_other_pages() -> None:
    assert TAKEN.keys() <= {name_of(page) for page in PAGES if python_of(page)}
