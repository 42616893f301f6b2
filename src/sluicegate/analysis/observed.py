"""One pass over images: what the engine answered, what it cost, what each gate decided.

    loss of an image = log(sum of exp(scores)) - score of its label

Memory does not grow with N x G floats: decisions are kept as bits, gate probabilities as histograms.

Legend: N images, n of a batch, K classes, S sites, G gates of all sites, B bins of a histogram.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sluicegate.analysis.decisions import Decisions
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
        dense_macs: of any image, with no gates in the network.
        predicted: [N] int64.
        confidence: [N] float32, probability of the predicted class.
        labels: [N] int64, or None where there are none.
        loss: [N] float32, or None without labels.
        dense_predicted, dense_loss: the same with every gate open.
        probabilities: site -> [gates, B] int64, how many images gave a gate a probability in each bin of [0, 1]; of
            sites only whose gates always decide, by a threshold.
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

    def __len__(self) -> int:
        return len(self.macs)

    @property
    def right(self) -> np.ndarray | None:
        """[N] bool: where the predicted class is the label; None without labels."""
        return None if self.labels is None else self.predicted == self.labels

    @property
    def accuracy(self) -> float | None:
        """Share of images that are classified as labelled; None without labels."""
        return None if self.right is None else float(self.right.mean())

    @property
    def dense_accuracy(self) -> float | None:
        """The same with every gate open."""
        return None if self.labels is None else float((self.dense_predicted == self.labels).mean())

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
    """Run a classifier over images, once as it is and once with every gate open.

    Args:
        artifact: the network; it ends in one score per class.
        images: what to run it on.
        threads: of the engine.
        threshold: see `Session.run`.
        batch_size: images at a time.
        progress: is told how many images are done.

    Raises:
        InputError: the network is no classifier, there are no images, or they do not fit it.
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
    for inputs, labels in images.batches(batch_size):
        seen.add(gated.run(inputs, threshold), dense.run(inputs), labels)
        progress("running every image", len(seen.decisions), len(images))
    names = tuple(program.classes or images.classes) or tuple(map(str, range(seen.classes)))
    return seen.finish(names)


def _check(program: Program, images: Source) -> None:
    shapes = [program.shape(output) for output in program.outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 1:
        found = ", ".join(map(str, shapes[:3]))
        raise InputError(f"report: the program's output is {found}, not one of shape (K,): it is no classifier")
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

    def __post_init__(self) -> None:
        self.decisions = Decisions(sum(site.gates for site in self.sites))
        self.probabilities = {s.name: np.zeros((s.gates, BINS), np.int64) for s in self.sites if s.name in self.logits}

    def add(self, gated: Result, dense: Result, labels: np.ndarray | None) -> None:
        """One batch."""
        if not np.isfinite(gated.output).all():
            raise RunError("report: the network's scores are not finite; its weights are damaged")
        n, self.classes = gated.output.shape
        rows = [np.empty((n, 0), bool), *(gated.gates[site.name] for site in self.sites)]
        self.decisions.append(np.concatenate(rows, axis=1))
        self.dense_macs = int(dense.macs[0])
        self._keep(macs=gated.macs, predicted=gated.output.argmax(1), confidence=_softmax(gated.output).max(1))
        self._keep(dense_predicted=dense.output.argmax(1))
        if labels is not None:
            _check_labels(labels, self.classes)
            self._keep(labels=labels, loss=_loss(gated.output, labels), dense_loss=_loss(dense.output, labels))
        for site, output in self.logits.items():
            self.probabilities[site] += _histograms(gated.outputs[output])

    def _keep(self, **found: np.ndarray) -> None:
        for name, values in found.items():
            self.columns.setdefault(name, []).append(values)

    def finish(self, classes: tuple[str, ...]) -> Observed:
        """All of them."""
        joined = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        absent = dict.fromkeys(("labels", "loss", "dense_loss"))
        columns = absent | joined
        return Observed(
            classes=classes,
            sites=self.sites,
            decisions=self.decisions,
            dense_macs=self.dense_macs,
            probabilities=self.probabilities,
            **columns,  # type: ignore[arg-type]
        )


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels: {labels.min()}..{labels.max()} must lie in 0..{classes - 1}, by class")


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def _loss(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[n, K], [n] -> [n] float32."""
    top = scores.max(1).astype(np.float64)
    total = np.log(np.exp(scores - top[:, None]).sum(1)) + top
    return (total - scores[np.arange(len(scores)), labels]).astype(np.float32)


def _histograms(logits: np.ndarray) -> np.ndarray:
    """[n, G] -> [G, B]: how many of the n probabilities lie in each bin."""
    probability = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60)))
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    gates = logits.shape[1]
    flat = bins + np.arange(gates) * BINS
    return np.bincount(flat.ravel(), minlength=gates * BINS).reshape(gates, BINS)
