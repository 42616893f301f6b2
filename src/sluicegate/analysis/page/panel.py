"""A panel of a report, and why there may be nothing to draw in it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sluicegate.analysis.figures.style import Figure
from sluicegate.analysis.findings import Findings

NO_LABELS = "The images have no labels, so what depends on their classes is not known."
NO_GATES = "The network has no gates, so what they would do is left out of this page."


@dataclass(frozen=True)
class Panel:
    """A part of the page.

    Attributes:
        name: of the figure, and of its files.
        title: above it.
        lead: what it shows, in a sentence or two; [[a term]] is explained where one points at it.
        paper: the figures of papers that it answers.
        figure: what is drawn; None if nothing can be, or where the page itself makes the part.
        missing: why nothing can be drawn.
        control: what the reader can choose above it: "threshold", "site" or "classes".
    """

    name: str
    title: str
    lead: str
    paper: str = ""
    figure: Figure | None = None
    missing: str = ""
    control: str = ""


@dataclass(frozen=True)
class Section:
    """Panels that belong together."""

    name: str
    title: str
    panels: list[Panel] = field(default_factory=list)


def drawn(missing: str, draw: Callable[[], Figure]) -> dict:
    """The figure, or why there is none."""
    return {"missing": missing} if missing else {"figure": draw()}


def why_no_gates(found: Findings) -> str:
    return "" if found.seen.sites else NO_GATES


def why_no_labels(found: Findings) -> str:
    return NO_LABELS if found.seen.accuracy is None else ""
