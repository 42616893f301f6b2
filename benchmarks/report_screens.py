"""Pictures of a report for docs/report.md, by Chromium.

sluicegate report resnet20-cifar10-0.5 -o report.html
python benchmarks/report_screens.py report.html
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
SCREENS = {
    "report-wide": ("1280,1180", ()),
    "report-dark": ("1280,1480", ("--force-dark-mode",)),
    "report-phone": ("390,1700", ()),
}


def take(page: Path, name: str, size: str, options: tuple[str, ...]) -> None:
    """One picture, made small by a palette."""
    browser = shutil.which("chromium") or "google-chrome"
    with tempfile.TemporaryDirectory() as scratch:
        command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={scratch}"]
        command += ["--virtual-time-budget=20000", f"--window-size={size}", f"--screenshot={DOCS / name}.png", *options]
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    for name, (size, options) in SCREENS.items():
        take(Path(sys.argv[1]), name, size, options)
