"""The README's example runs, and its gates do what it says."""

import re
import subprocess
import sys
from pathlib import Path

from commands import environment

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r"accuracy ([\d.]+)%", done.stdout).group(1))  # type: ignore[union-attr]
    dense, mean, least, most = (int(n.replace(",", "")) for n in re.findall(r"([\d,]{5,})(?:,|$)", done.stdout, re.M))
    assert accuracy > 80
    assert least < mean < most < 1.02 * dense
    assert (tmp_path / "digits.sluice").is_file()
