"""Words that the page explains where one points at them, or touches them."""

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "multiply-adds": "One multiplication and one addition: what a network's work is counted in. Also called MACs.",
    "gate": "A switch in the network that the image opens or closes. What is behind a closed gate is not computed.",
    "open rate": "The share of the images for which a gate is open.",
    "gates open": "The share of all gates that are open, over all images.",
    "threshold": "The probability above which a gate opens. A higher one closes more gates: less work, less accuracy.",
    "probability": "How sure a gate is, from 0 (closed for certain) to 1 (open for certain).",
    "always on": "Open for at least 99% of the images.",
    "always off": "Open for at most 1% of the images. It could be cut out for good.",
    "conditional": "Open for some images and closed for others.",
    "polarised": "Of gates that are nearly always open or nearly always closed.",
    "epoch": "One pass of the training over all of its images.",
    "engine": "The program that runs the network on this processor and leaves out what is behind closed gates.",
    "t-sne": "A method that draws points of many dimensions on a plane, so that near ones stay near. Only nearness "
    "has a meaning, not direction or size.",
    "loss": "How wrong a prediction is: near 0 where it is sure and right, large where it is sure and wrong.",
    "rank correlation": "From -1 to +1: +1 where the dearer of two images always has the larger loss, 0 where the two "
    "have nothing to do with each other (Spearman).",
    "without gates": "The same network with nothing left out.",
    "mean iou": "How well areas match: the pixels that answer and label both give to a class, divided by those that "
    "either does; the mean over classes (intersection over union).",
    "median": "Half of the images are below it, half above.",
}

MILLION = 1e6

_TERM = re.compile(r"\[\[(.+?)\]\]")


def explained(text: str) -> Markup:
    """The text, escaped, with each `[[term]]` of the glossary as an element that explains itself.

    Example:
        >>> explained("a [[gate]] & more")
        Markup('a <span class="term" tabindex="0" data-tip="A switch ...">gate</span> &amp; more')
    """
    return Markup(_TERM.sub(_element, str(escape(text))))


def _element(found: re.Match[str]) -> str:
    word = found[1]
    return f'<span class="term" tabindex="0" data-tip="{escape(GLOSSARY[word.lower()])}">{word}</span>'


def millions(macs: float) -> str:
    """As people read it.

    Example:
        >>> millions(20_535_184), millions(1.82e9), millions(31_200)
        ('20.5 million', '1,820 million', '0.0312 million')
    """
    amount = macs / MILLION
    return f"{amount:,.0f} million" if amount >= 1000 else f"{amount:.3g} million"
