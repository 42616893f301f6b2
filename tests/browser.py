"""Opens a page in headless Chromium, tries its controls, and says what came of it. Nothing but Chromium is needed."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

_BEFORE = """<script>
window.complaints = [];
for (const kind of ["error", "warn"]) {
  const say = console[kind];
  console[kind] = (...words) => { complaints.push(words.join(" ")); say(...words); };
}
addEventListener("error", (event) => complaints.push(event.message));
addEventListener("unhandledrejection", (event) => complaints.push(String(event.reason)));
</script>"""

_AFTER = """<script type="module">
const root = document.documentElement;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const marks = (name) => [...document.querySelectorAll(`[data-figure="${name}"] svg .role-mark > *`)];
const looks = (name) => document.querySelector(`[data-figure="${name}"] svg`)?.innerHTML ?? "";
const text = (id) => document.getElementById(id)?.textContent ?? null;
async function turn(id, value, figure) {
  const control = document.getElementById(id);
  if (!control) return null;
  const before = [looks(figure), text("at-accuracy"), text("most-different")];
  control.value = value;
  control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input"));
  await wait(400);
  const after = [looks(figure), text("at-accuracy"), text("most-different")];
  return { drawn: before[0] !== after[0], texts: [before.slice(1), after.slice(1)] };
}
for (let i = 0; i < 200 && !root.dataset.drawn; i++) await wait(50);
const places = [...document.querySelectorAll("[data-figure]")];
const found = {
  drawn: Number(root.dataset.drawn ?? -1),
  marks: Object.fromEntries(places.map((place) => [place.dataset.figure, marks(place.dataset.figure).length])),
  overflow: root.scrollWidth - root.clientWidth,
  scripts: document.scripts.length,
  threshold: await turn("threshold", 0, "operating_points"),
  site: await turn("site", 1, "probabilities"),
  classes: await turn("second", 3, "firing_differences"),
  outside: performance.getEntriesByType("resource").map((one) => one.name).filter((at) => !/^(data|blob):/.test(at)),
  complaints,
};
root.dataset.probe = encodeURIComponent(JSON.stringify(found));
</script>"""


def chromium() -> str:
    """The browser's path; the test is skipped where there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium here")
    return path


def opened(page: Path, width: int = 1280) -> dict[str, Any]:
    """What the page does: how many marks each figure has, what its controls change, what was complained of."""
    probed = page.with_name("probed.html")
    html = page.read_text(encoding="utf-8")
    body, _, end = html.rpartition("</body>")  # the last: scripts have one in a text
    probed.write_text(body.replace("<head>", f"<head>{_BEFORE}", 1) + f"{_AFTER}</body>{end}", "utf-8")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [f"--user-data-dir={page.with_name('profile')}", "--virtual-time-budget=30000", "--dump-dom"]
    done = subprocess.run([*command, probed.as_uri()], capture_output=True, text=True, timeout=240)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(unquote(found[1]))
