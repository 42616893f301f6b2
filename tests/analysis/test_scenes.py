"""Networks that answer for pixels: the figures against direct computations, and their page."""

import numpy as np
import planted_scenes
import pytest
from browser import opened

from sluicegate.analysis import ArraySource, Context, analyse, drawn_figures, iou_table, observe, write_page
from sluicegate.analysis.page import render_page
from sluicegate.analysis.page.panel import NO_LABELS
from sluicegate.analysis.scenes import VOID
from sluicegate.errors import InputError


@pytest.fixture(scope="module")
def found():
    source = planted_scenes.scenes()[0]
    return analyse(planted_scenes.network(), source, Context("streets"), thresholds=(0.3, 0.9))


def test_pixels_are_counted_as_one_would_by_hand(found):
    _, masks, answers, heads = planted_scenes.scenes()
    pixels = found.seen.pixels
    known = masks != VOID
    assert pixels.right == pytest.approx([(a == m)[k].mean() for a, m, k in zip(answers, masks, known, strict=True)])
    assert found.seen.accuracy == (answers == masks)[known].mean()
    rows = found.ious[found.ious["network"] == "gated"].set_index("name")
    for k, name in enumerate(planted_scenes.CLASSES):
        said, labelled = (answers == k) & known, masks == k
        by_hand = (said & labelled).sum() / (said | labelled).sum()
        assert rows.loc[name, "iou"] == pytest.approx(by_hand) and rows.loc[name, "pixels"] == labelled.sum()
    assert found.seen.mean_iou == pytest.approx(rows["iou"].mean())
    assert (pixels.gated == pixels.dense).all(), "these gates change nothing but the work"
    assert (found.seen.decisions.rows(slice(None))[:, 1] == heads).all()


def test_the_loss_of_an_image_is_the_mean_over_its_pixels(found):
    source, masks, _, _ = planted_scenes.scenes()
    weights = np.array([[4, 0, 0, -3], [0, 4, 0, 0], [0, 0, 4, 2]])
    scores = np.einsum("kc,nchw->nkhw", weights, source.inputs.astype(np.float64))
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    of_label = np.take_along_axis(logs, np.where(masks == VOID, 0, masks)[:, None], axis=1)[:, 0]
    by_hand = [-one[mask != VOID].mean() for one, mask in zip(of_label, masks, strict=True)]
    assert found.seen.loss == pytest.approx(by_hand, abs=1e-5)


def test_thresholds_are_measured_on_pixels(found):
    assert [point.accuracy for point in found.points] == [found.seen.accuracy] * len(found.points)


def test_a_class_that_is_nowhere_has_no_row():
    source, masks, _, _ = planted_scenes.scenes(8)
    masks = np.where(masks == 1, VOID, masks)  # so no counted pixel is called sky, either
    seen = observe(planted_scenes.network(), ArraySource(source.inputs, masks, planted_scenes.CLASSES))
    assert seen.pixels is not None
    assert set(iou_table(seen.pixels, seen.classes)["name"]) == {"road", "tree"}


def test_masks_of_another_size_or_class_are_refused():
    source, masks, _, _ = planted_scenes.scenes(4)
    for labels, said in ((masks[:, :3], "do not fit"), (np.full((4, 5, 6), 7), r"7\.\.7 must lie in 0\.\.2")):
        with pytest.raises(InputError, match=said):
            observe(planted_scenes.network(), ArraySource(source.inputs, labels, planted_scenes.CLASSES))


@pytest.mark.broad
def test_the_page_has_mean_iou_first_and_masks_beside_images(found, tmp_path):
    page = render_page(found)
    first = page[page.index("<header>") : page.index("</header>")]
    assert f"{found.seen.mean_iou:.1%}" in first and f"{found.seen.accuracy:.1%} of the pixels of 40 images" in first
    assert page.count("<figcaption>answer") == page.count("<figcaption>label") == 24
    assert {"class_iou", "accuracy_by_cost", "operating_points"} <= set(drawn_figures(found))
    assert "class_macs" not in drawn_figures(found)
    seen = opened(write_page(found, tmp_path / "report.html"))
    assert seen["complaints"] == [] and seen["outside"] == [] and all(seen["marks"].values())


def test_images_without_masks_show_the_answers_alone():
    source = ArraySource(planted_scenes.scenes(12)[0].inputs, None, planted_scenes.CLASSES)
    page = render_page(analyse(planted_scenes.network(), source, Context("streets"), thresholds=()))
    assert "accuracy not known" in page and NO_LABELS in page
    assert "<figcaption>answer" in page and "<figcaption>label" not in page
