"""One pass over images: the answers of the engine, their MACs, and the decisions of each gate.

    loss of an image = log(sum of exp(scores)) - score of its label; of a mask, the mean over its pixels

To save memory, decisions are stored as bits and gate probabilities as histograms, not as N x G floats.

Legend: N images, n of a batch, K classes, H W pixels, S sites, G gates of all sites, B bins of a histogram.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sluicegate.analysis.decisions import Decisions
from sluicegate.analysis.scenes import (
    Pixels,
    confusion,
    counted,
    fitting_batch,
    mean_by_image,
    mean_iou,
    most_frequent,
    pixel_accuracy,
)
from sluicegate.analysis.source import Source
from sluicegate.errors import InputError, RunError
from sluicegate_runtime import Artifact, Program, Result, Session, without_gates

BINS = 50  # of a gate's probability

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how far it has come and how far it goes."""


@dataclass(frozen=True)
class Site:
    """Gates that stand at one place: `first` is the number of the first of them, counted through all sites. `kind` is
    "channel", "layer" or "exit"."""

    name: str
    kind: str
    first: int
    gates: int

    @property
    def span(self) -> slice:
        """The numbers of its gates."""
        return slice(self.first, self.first + self.gates)


@dataclass(frozen=True)
class Observed:
    """What was seen.

    Attributes:
        classes: a name for each of the K scores.
        sites: in the order of the program.
        decisions: [N, G]; a gate that was not evaluated counts as closed.
        macs: [N] int64.
        dense_macs: of any image, without gates.
        predicted: [N] int64; for segmentation, the most frequent class of the image's pixels.
        confidence: [N] float32, probability of the predicted class; the mean over pixels.
        labels: [N] int64, or None without labels or with masks.
        loss: [N] float32, or None without labels or masks.
        dense_predicted, dense_loss: the same with every gate open.
        probabilities: site -> [gates, B] int64, the number of images with a gate's probability in each bin of [0, 1];
            only for sites whose gates are always evaluated and decide by a threshold.
        pixels: the correct pixels of images with masks, or None.
    """

    classes: tuple[str, ...]
    sites: tuple[Site, ...]
    decisions: Decisions
    macs: np.ndarray
    dense_macs: int
    predicted: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray | None
    loss: np.ndarray | None
    dense_predicted: np.ndarray
    dense_loss: np.ndarray | None
    probabilities: Mapping[str, np.ndarray]
    pixels: Pixels | None = None

    def __len__(self) -> int:
        return len(self.macs)

    @property
    def right(self) -> np.ndarray | None:
        """[N] bool: where the predicted class is the label, or float32: the share of an image's pixels that is right;
        None without labels or masks."""
        if self.pixels is not None:
            return self.pixels.right
        return None if self.labels is None else self.predicted == self.labels

    @property
    def accuracy(self) -> float | None:
        """Share of images, or of the pixels of all, that are classified as labelled; None without labels or masks."""
        if self.pixels is not None:
            return pixel_accuracy(self.pixels.gated)
        return None if self.right is None else float(self.right.mean())

    @property
    def dense_accuracy(self) -> float | None:
        """The same with every gate open."""
        if self.pixels is not None:
            return pixel_accuracy(self.pixels.dense)
        return None if self.labels is None else float((self.dense_predicted == self.labels).mean())

    @property
    def mean_iou(self) -> float | None:
        """See `mean_iou` of `scenes.py`; None without masks."""
        return None if self.pixels is None else mean_iou(self.pixels.gated)

    @property
    def open_rate(self) -> float | None:
        """Share of (image, gate) pairs that are open; None without gates."""
        gates = self.decisions.gates
        return float(self.decisions.opened_by_gate().sum() / (gates * len(self))) if gates else None


def sites_of(program: Program) -> tuple[Site, ...]:
    """The sites of a program: gates of layers are those under which ops run, gates of exits those that end them."""
    layers = {gate for op in program.ops for gate in (*op.when, *op.unless)}
    exits = {op.inputs[1] for op in program.ops if op.kind == "exit"}
    found: list[Site] = []
    for name, gates in program.gates.items():
        kind = "exit" if name in exits else "layer" if name in layers else "channel"
        found.append(Site(name, kind, found[-1].span.stop if found else 0, gates))
    return tuple(found)


def observe(
    artifact: Artifact,
    images: Source,
    *,
    threads: int = 2,
    threshold: float | None = None,
    batch_size: int = 256,
    progress: Progress = lambda what, done, of: None,
) -> Observed:
    """Run a classifier of images or of their pixels over images, once as it is and once with every gate open.

    Args:
        artifact: the network; it ends in one score per class, or in one for each class and pixel.
        images: what to run it on.
        threads: of the engine.
        threshold: see `Session.run`.
        batch_size: images at a time.
        progress: called with the number of images that are done.

    Raises:
        InputError: the network is not a classifier, there are no images, or they do not fit the network.
        RunError: the scores of an image are not finite.

        seen = observe(load_program("net.sluice"), ArraySource(inputs, labels))
        seen.accuracy, seen.macs.mean()
    """
    program = artifact.program
    _check(program, images)
    asked, logits = _with_logits(artifact)
    gated, dense = Session(asked, threads), Session(without_gates(artifact), threads)
    sites = sites_of(program)
    seen = _Seen(sites, logits)
    shape = next(program.shape(output) for output in program.outputs.values())
    for inputs, labels in images.batches(fitting_batch(shape, batch_size)):
        seen.add(gated.run(inputs, threshold), dense.run(inputs), labels)
        progress("running every image", len(seen.decisions), len(images))
    names = tuple(program.classes or images.classes) or tuple(map(str, range(seen.classes)))
    return seen.finish(names)


def _check(program: Program, images: Source) -> None:
    shapes = [program.shape(output) for output in program.outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) not in (1, 3):
        found = ", ".join(map(str, shapes[:3]))
        raise InputError(f"report: the program's output is {found}, not one of shape (K,) or (K, H, W)")
    if not len(images):
        raise InputError("data: there are no images")
    if images.classes and len(images.classes) != shapes[0][0]:
        raise InputError(f"data: it has {len(images.classes)} classes, but the network {shapes[0][0]}")
    if program.classes and images.classes and tuple(program.classes) != tuple(images.classes):
        differ = next(pair for pair in zip(program.classes, images.classes, strict=True) if pair[0] != pair[1])
        raise InputError(f"data: a class is {differ[1]!r} there and {differ[0]!r} in the network")


def _with_logits(artifact: Artifact) -> tuple[Artifact, dict[str, str]]:
    """The same program with gates' logits among its outputs, where it may have them: site -> the output's name."""
    program = artifact.program
    if any(op.kind == "exit" for op in program.ops):
        return artifact, {}  # a program with an exit has one output
    made_by = {op.output: op for op in program.ops}
    asked = {
        str(op.output): op.inputs[0]
        for op in program.ops
        if op.kind == "gate" and not op.attributes.get("top_k") and _always_runs(made_by, op.inputs[0])
    }
    outputs = {**program.outputs, **{f"logits of {site}": value for site, value in asked.items()}}
    logits = {site: f"logits of {site}" for site in asked}
    return Artifact(replace(program, outputs=outputs, classes=()), artifact.tensors), logits


def _always_runs(made_by: Mapping[str | None, object], value: str) -> bool:
    op = made_by.get(value)
    return op is not None and not getattr(op, "when", ()) and not getattr(op, "unless", ())


@dataclass
class _Seen:
    """Adds up batches."""

    sites: tuple[Site, ...]
    logits: Mapping[str, str]
    classes: int = 0
    dense_macs: int = 0
    columns: dict[str, list[np.ndarray]] = field(default_factory=dict)
    matrices: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.decisions = Decisions(sum(site.gates for site in self.sites))
        self.probabilities = {s.name: np.zeros((s.gates, BINS), np.int64) for s in self.sites if s.name in self.logits}

    def add(self, gated: Result, dense: Result, labels: np.ndarray | None) -> None:
        """One batch."""
        if not np.isfinite(gated.output).all():
            raise RunError("report: the network's scores are not finite; its weights are damaged")
        n, self.classes = gated.output.shape[:2]
        rows = [np.empty((n, 0), bool), *(gated.gates[site.name] for site in self.sites)]
        self.decisions.append(np.concatenate(rows, axis=1))
        self.dense_macs = int(dense.macs[0])
        said, all_open = gated.output.argmax(1), dense.output.argmax(1)
        sure = 1 / np.exp(gated.output - gated.output.max(1, keepdims=True)).sum(1)  # [n] or [n, H, W]
        self._keep(macs=gated.macs, confidence=mean_by_image(sure))
        self._keep(predicted=most_frequent(said), dense_predicted=most_frequent(all_open))
        if labels is not None:
            _check_labels(labels, said.shape, self.classes)
            self._keep(loss=_loss(gated.output, labels), dense_loss=_loss(dense.output, labels))
            self._compare(said, all_open, labels)
        for site, output in self.logits.items():
            self.probabilities[site] += _histograms(gated.outputs[output])

    def _compare(self, said: np.ndarray, all_open: np.ndarray, labels: np.ndarray) -> None:
        if labels.ndim == 1:
            return self._keep(labels=labels)
        self._keep(right=mean_by_image(said == labels, counted(labels)))
        for network, answers in (("gated", said), ("dense", all_open)):
            found = confusion(answers, labels, self.classes)
            self.matrices[network] = self.matrices.get(network, 0) + found

    def _keep(self, **found: np.ndarray) -> None:
        for name, values in found.items():
            self.columns.setdefault(name, []).append(values)

    def finish(self, classes: tuple[str, ...]) -> Observed:
        """All of them."""
        joined = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        absent = dict.fromkeys(("labels", "loss", "dense_loss"))
        pixels = Pixels(**self.matrices, right=joined.pop("right")) if self.matrices else None
        columns = absent | joined
        return Observed(
            classes=classes,
            sites=self.sites,
            decisions=self.decisions,
            dense_macs=self.dense_macs,
            probabilities=self.probabilities,
            pixels=pixels,
            **columns,  # type: ignore[arg-type]
        )


def _check_labels(labels: np.ndarray, shape: tuple[int, ...], classes: int) -> None:
    if labels.shape != shape:
        raise InputError(f"labels: {labels.shape} do not fit answers of shape {shape}, one for each")
    known = labels[counted(labels)]
    if known.size and (known.min() < 0 or known.max() >= classes):
        raise InputError(f"labels: {known.min()}..{known.max()} must lie in 0..{classes - 1}, by class")


def _loss(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[n, K] and [n], or [n, K, H, W] and [n, H, W] -> [n] float32."""
    known = counted(labels)
    top = scores.max(1)
    total = np.log(np.exp(scores - top[:, None]).sum(1, dtype=np.float64)) + top
    of_label = np.take_along_axis(scores, np.where(known, labels, 0)[:, None], axis=1)[:, 0]
    return mean_by_image(total - of_label, known)


def _histograms(logits: np.ndarray) -> np.ndarray:
    """[n, G] -> [G, B]: how many of the n probabilities lie in each bin."""
    probability = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60)))
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    gates = logits.shape[1]
    flat = bins + np.arange(gates) * BINS
    return np.bincount(flat.ravel(), minlength=gates * BINS).reshape(gates, BINS)
