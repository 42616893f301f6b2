"""The README's examples run, and their gates do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import environment

from sluicegate.nets import build_net
from sluicegate_runtime import Session

DIGITS, OWN = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


@pytest.mark.broad
def test_the_example_on_digits_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DIGITS], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(re.findall(r"([\d.]+)%", done.stdout)[0])
    mean, dense, least, most = (int(n.replace(",", "")) for n in re.findall(r"\d[\d,]{5,}", done.stdout))
    assert accuracy > 93
    assert least < mean < 0.6 * dense and least < most < dense
    assert (tmp_path / "half.sluice").is_file()


def test_the_example_for_ones_own_network_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loader = [(torch.randn(4, 3, 224, 224), torch.arange(4)) for _ in range(2)]
    known = {"torch": torch, "net": build_net("resnet8"), "loader": loader, "epochs": 1}
    exec(OWN, known)
    assert Session("half.sluice").program.shape("x") == (3, 224, 224)
