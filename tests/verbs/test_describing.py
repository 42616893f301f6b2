"""`info` of a run folder."""

import json
import shutil
from pathlib import Path

import pytest

from sluicegate.cli import main
from sluicegate.errors import InputError
from sluicegate.models import find_pretrained
from sluicegate.train import read_result
from sluicegate.verbs.describing import describe_run

HALF = "resnet20-cifar10-0.5"


def test_it_says_what_the_folder_has(capsys: pytest.CaptureFixture[str]) -> None:
    folder = find_pretrained(HALF)
    result = read_result(folder)
    assert main(["info", str(folder)]) == 0
    text = capsys.readouterr().out
    for said in (result.name, f"{result.accuracy:.2%}", f"{result.macs.mean:,.0f}", "airplane", "final.safetensors"):
        assert said in text


def test_a_released_network_is_found_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", HALF, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(describe_run(find_pretrained(HALF))))
    assert found["result"]["macs"]["dense"] == 40_551_040


def test_a_run_that_is_not_finished_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(find_pretrained(HALF), tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert main(["info", str(tmp_path / "run")]) == 0
    text = capsys.readouterr().out
    assert "not finished" in text and "accuracy" not in text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        describe_run(tmp_path)


def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "nothing"]) == 2
    assert "'nothing' is neither a .sluice file nor a run folder" in capsys.readouterr().err
