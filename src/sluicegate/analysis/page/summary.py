"""The first screen: how accurate, how much cheaper, how much faster; and the figures below it."""

from typing import NamedTuple

import numpy as np

from sluicegate.analysis.findings import Findings
from sluicegate.analysis.page.words import millions
from sluicegate.analysis.scenes import mean_iou


class Headline(NamedTuple):
    """A number that is read from afar, what it is of, and a line below. `tone` is "good", "plain" or "bad"."""

    number: str
    what: str
    detail: str
    tone: str = "plain"


def headlines(found: Findings) -> list[Headline]:
    """Accuracy, work, time."""
    return [_accuracy(found), _work(found), _time(found)]


def _accuracy(found: Findings) -> Headline:
    images = f"{len(found.seen):,} image" + ("s" if len(found.seen) != 1 else "")
    if found.seen.accuracy is None:
        return Headline("?", "accuracy not known", f"The {images} have no labels.")
    before = found.context.accuracy_before
    then = f"; {before:.2%} before it had gates" if before is not None else ""
    if found.seen.mean_iou is not None:
        detail = f"{found.seen.accuracy:.1%} of the pixels of {images} are right{then}"
        return Headline(f"{found.seen.mean_iou:.1%}", "[[mean IoU]]", detail)
    return Headline(f"{found.seen.accuracy:.1%}", "right", f"of {images}{then}")


def _work(found: Findings) -> Headline:
    mean, dense = float(found.seen.macs.mean()), found.seen.dense_macs
    if not found.seen.sites:
        return Headline("0%", "less work", f"No [[gate]] leaves anything out: {millions(dense)} [[multiply-adds]]")
    saved = 1 - mean / dense
    detail = f"{millions(mean)} instead of {millions(dense)} [[multiply-adds]] an image"
    if saved < 0:
        return Headline(f"{-saved:.0%}", "more work", detail, "bad")
    return Headline(f"{saved:.0%}", "less work", detail, "good" if saved >= 0.05 else "plain")


def _time(found: Findings) -> Headline:
    speed = found.speed
    threads = "one thread" if speed.threads == 1 else f"{speed.threads} threads"
    if not found.seen.sites:
        return Headline(f"{speed.gated:.2f} ms", "an image", f"in the [[engine]], on {threads}")
    factor = speed.dense / speed.gated
    detail = f"{speed.gated:.3f} ms instead of {speed.dense:.3f} ms an image, in the [[engine]] on {threads}"
    if factor < 1:
        return Headline(f"{1 / factor:.2f}x", "slower", f"{detail}: here the gates cost more than they save", "bad")
    return Headline(f"{factor:.2f}x", "as fast", detail, "good" if factor >= 1.05 else "plain")


def facts(found: Findings) -> list[tuple[str, str]]:
    """Name and figure, of all that the first screen has no place for."""
    seen, speed = found.seen, found.speed
    if not seen.sites:
        return [("[[Multiply-adds]]", millions(seen.dense_macs)), ("Milliseconds ([[median]])", f"{speed.gated:.3f}")]
    low, middle, high = np.quantile(seen.macs, (0.1, 0.5, 0.9))
    ends = f"{millions(int(seen.macs.min()))}, {millions(int(seen.macs.max()))}"
    rows = [
        ("[[Multiply-adds]], [[without gates]]", millions(seen.dense_macs)),
        ("mean; [[median]]", f"{millions(float(seen.macs.mean()))}; {millions(middle)}"),
        ("80% of the images lie between", f"{millions(low)}, {millions(high)}"),
        ("least and most of an image", ends),
        ("Milliseconds ([[median]]), without gates", f"{speed.gated:.3f}, {speed.dense:.3f}"),
    ]
    if seen.open_rate is not None:
        rows += [("[[Gates open]]", f"{seen.open_rate:.1%}"), (f"Of {seen.decisions.gates:,} gates", _kinds(found))]
        rows += [("Conditional gates that always agree with another", _agreeing(found))]
    if seen.pixels is not None:
        rows += [("[[Mean IoU]] with every gate open", f"{mean_iou(seen.pixels.dense):.2%}")]
    if seen.dense_accuracy is not None:
        rows += [("Right with every gate open", f"{seen.dense_accuracy:.2%}")]
    return rows


def _kinds(found: Findings) -> str:
    counts = found.gates["activity"].value_counts()
    return ", ".join(f"{counts.get(kind, 0):,} [[{kind}]]" for kind in ("always on", "conditional", "always off"))


def _agreeing(found: Findings) -> str:
    spare = sum(len(group) - 1 for group in found.agreeing)
    return f"{spare:,}" if spare else "none"
