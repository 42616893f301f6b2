"""The report as a page: in a browser, and of strange networks and images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest
from browser import chromium, opened
from gated_network import network

from sluicegate.analysis import ArraySource, Context, analyse, drawn_figures, figures, save_figure, write_page
from sluicegate.analysis.page import render_page
from sluicegate.analysis.page.panel import NO_GATES, NO_LABELS
from sluicegate.analysis.page.panels import sections
from sluicegate_runtime import Artifact, Op, without_gates

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "open_channel": [0.9, 0.6, 0.5],
        "open:a.conv": [1.0, 0.9, 0.8],
        "open:b.conv": [0.8, 0.3, 0.2],
    }
)
MARKUP = ("<script>alert(1)</script>", "</script><b>", "[[gate]]", '"&amp;')


def report(artifact=None, source=None, **context):
    source = planted.images(200)[0] if source is None else source
    return analyse(artifact or planted.network(), source, Context("planted", **context), thresholds=(0.3, 0.9))


@pytest.fixture(scope="module")
def whole():
    return report(history=HISTORY, accuracy_before=0.9)


def missing(found):
    return {panel.name: panel.missing for section in sections(found) for panel in section.panels if panel.missing}


@pytest.mark.broad
def test_every_chart_is_drawn_in_a_browser_and_its_controls_work(whole, tmp_path):
    chromium()
    seen = opened(write_page(whole, tmp_path / "report.html"))
    assert seen["complaints"] == [] and seen["outside"] == []
    assert seen["marks"].keys() == drawn_figures(whole).keys()
    assert seen["drawn"] == len(seen["marks"])
    assert all(seen["marks"].values()), seen["marks"]
    assert seen["threshold"]["drawn"] and seen["classes"]["drawn"]
    (accuracy, _), (other, _) = seen["threshold"]["texts"]
    assert accuracy == f"{100 * whole.seen.accuracy:.2f}%" and other.endswith("%")
    (_, before), (_, after) = seen["classes"]["texts"]
    assert before.endswith("for cat") or before.endswith("for owl")
    assert after != before


def history_rows(metrics):
    """By layer of the figure, its rows."""
    drawn = figures.history(metrics).to_dict()
    return [drawn["datasets"][layer.get("data", drawn.get("data"))["name"]] for layer in drawn["layer"]]


def test_the_history_has_a_line_for_each_layer_and_each_kind():
    layers, kinds = history_rows(HISTORY)
    assert {(row["name"], row["epoch"]): row["rate"] for row in layers} == {
        (name, n + 1): HISTORY[f"open:{name}"][n] for name in ("a.conv", "b.conv") for n in range(3)
    }
    assert [(row["name"], row["rate"]) for row in kinds] == [("channel gates", rate) for rate in (0.9, 0.6, 0.5)]


def test_the_history_of_a_run_that_did_not_write_down_its_layers():
    (kinds,) = history_rows(HISTORY[["epoch", "open_channel"]])
    assert len(kinds) == 3


def test_the_layer_chooser_works(tmp_path):
    """Of a network with several sites, some of which may be skipped."""
    rng = np.random.default_rng(0)
    source = ArraySource(rng.normal(size=(60, 3, 9, 9)).astype(np.float32), rng.integers(0, 5, 60))
    found = report(network(), source)
    assert 1 < len(found.seen.probabilities) < len(found.seen.sites)
    seen = opened(write_page(found, tmp_path / "report.html"))
    assert seen["complaints"] == [] and seen["site"]["drawn"]


@pytest.mark.cases(1)
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_not_wider_than_the_window(whole, tmp_path, width):
    chromium()
    assert opened(write_page(whole, tmp_path / "report.html"), width)["overflow"] <= 0


def test_the_file_is_one_small_file_that_asks_for_nothing(whole):
    page = render_page(whole)
    assert len(page.encode()) < 10e6
    for address in ('src="http', 'href="http', "@import", "url(http"):
        assert address not in page
    assert missing(whole) == {}


def test_the_first_screen_says_how_accurate_cheap_and_fast(whole):
    page = render_page(whole)
    first = page[page.index("<header>") : page.index("</header>")]
    assert f"{whole.seen.accuracy:.1%}" in first and "of 200 images; 90.00% before it had gates" in first
    saved = 1 - whole.seen.macs.mean() / whole.seen.dense_macs
    assert f"{abs(saved):.0%}" in first and ("less work" in first or "more work" in first)
    assert "as fast" in first or "slower" in first


def test_special_gates_are_named(whole):
    assert "only cat" in render_page(whole)


def test_names_with_markup_stay_text():
    page = render_page(markup_in_names())
    assert "<script>alert(1)" not in page and "</script><b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_name_of_the_network_with_markup_stays_text():
    page = render_page(analyse(planted.network(), planted.images(20)[0], Context("<img src=x>"), thresholds=()))
    assert "<img src=x>" not in page


def one_class():
    source, labels, _ = planted.images(100)
    return report(source=ArraySource(source.inputs[labels == 1], labels[labels == 1], planted.CLASSES))


def one_image():
    return report(source=planted.images(1)[0])


def all_gates_on():
    artifact = planted.network()
    ops = tuple(
        replace(op, attributes={**op.attributes, "threshold": -50.0}) if op.kind == "gate" else op
        for op in artifact.program.ops
    )
    return report(Artifact(replace(artifact.program, ops=ops), artifact.tensors))


def a_thousand_classes():
    artifact, (source, labels, _) = planted.network(), planted.images(300)
    last = artifact.program.ops[-1]
    classes = 1000
    rng = np.random.default_rng(0)
    tensors = {**artifact.tensors, "many": rng.normal(size=(classes, 4)).astype(np.float32)}
    values = (*artifact.program.values, replace(artifact.program.values[-1], name="scores", shape=(classes,)))
    scores = Op("linear", "many", (str(last.output),), "scores", {"weight": "many"})
    ops = (*artifact.program.ops, scores)
    program = replace(artifact.program, values=values, ops=ops, outputs={"output": "scores"})
    names = tuple(f"class {number}" for number in range(classes))
    spread = ArraySource(source.inputs, labels * 200 + np.arange(300) % 200, names)
    return report(Artifact(program, tensors), spread)


def no_gates():
    return report(without_gates(planted.network()))


def no_labels():
    return report(source=ArraySource(planted.images(50)[0].inputs))


def markup_in_names():
    return report(source=replace(planted.images(100)[0], classes=MARKUP))


STRANGE = (one_class, one_image, all_gates_on, a_thousand_classes, no_gates, no_labels, markup_in_names)


@pytest.mark.broad
@pytest.mark.parametrize("make", STRANGE)
def test_strange_cases_open_in_a_browser(make, tmp_path):
    found = make()
    seen = opened(write_page(found, tmp_path / "report.html"))
    assert seen["complaints"] == [] and seen["outside"] == [] and seen["overflow"] <= 0
    assert seen["drawn"] == len(drawn_figures(found)) and all(seen["marks"].values()), seen["marks"]


def test_without_gates_one_sentence_says_so():
    found = no_gates()
    assert set(drawn_figures(found)) == {"blocks_ms", "blocks_macs", "confusions"} and missing(found) == {}
    page = render_page(found)
    assert page.count(NO_GATES) == 1 and 'href="#gates"' not in page and "No <span" in page


@pytest.mark.broad
def test_images_without_labels():
    found = no_labels()
    assert missing(found)["class_macs"] == NO_LABELS
    assert {"layers", "gate_map", "macs_histogram"} <= set(drawn_figures(found))
    assert "accuracy not known" in render_page(found)


def test_one_image():
    found = one_image()
    said = missing(found)
    assert said["macs_histogram"] == "Every image costs the same." and "ten images" in said["gate_map"]
    assert "conditional" in said["firing_counts"] and "two classes" in said["firing_differences"]
    page = render_page(found)
    assert "of 1 image<" in page and "The least work" not in page


def test_one_class():
    found = one_class()
    assert "two classes" in missing(found)["firing_differences"]
    assert "only cat" not in render_page(found)  # the gate is open for all of them


def test_all_gates_on():
    found = all_gates_on()
    assert found.seen.open_rate == 1
    assert set(found.gates["activity"]) == {"always on"}
    assert "conditional" in missing(found)["firing_counts"]
    assert "more work" in render_page(found)  # what the gates themselves cost


@pytest.mark.broad
def test_a_thousand_classes():
    found = a_thousand_classes()
    assert len(render_page(found)) < 10e6 and len(found.classes) > 250
    assert drawn_figures(found)["class_macs"].to_dict()["height"] < 1200
    assert len(drawn_figures(found)["gate_map"].to_dict()["encoding"]["color"]["scale"]["domain"]) <= 10


@pytest.mark.broad
def test_every_figure_is_written_as_svg_and_png(whole, tmp_path):
    for name, figure in drawn_figures(whole).items():
        svg, png = save_figure(figure, tmp_path / name)
        assert svg.read_text().startswith("<svg") and png.read_bytes().startswith(b"\x89PNG")
        assert "undefined" not in svg.read_text()
    assert len(list(tmp_path.iterdir())) == 2 * len(drawn_figures(whole)) >= 30
