"""The content of a report: sections of panels. A panel is a figure, or a line that says why there is none. For a
network without gates, panels about gates are left out."""

from collections.abc import Callable
from dataclasses import replace

from sluicegate.analysis import figures
from sluicegate.analysis.figures.style import Figure
from sluicegate.analysis.findings import Findings
from sluicegate.analysis.frontier import Point, Series
from sluicegate.analysis.page.panel import NO_GATES, Panel, Section, drawn, why_no_gates, why_no_labels
from sluicegate.analysis.page.words import millions

TWO_CLASSES = "It takes two classes that have images to compare them."


def sections(found: Findings) -> list[Section]:
    """The report, top to bottom, after its first screen."""
    found_out = [
        Section("cost", "Accuracy and work", [_threshold(found), *_beside(found), _work(found), _facts()]),
        Section(
            "gates",
            "Gates",
            [make(found) for make in (_layers, _counted, _firing, _open, _rates, _sure, _history)],
        ),
        Section("classes", "Classes", [make(found) for make in (*_of_classes(found), _map)]),
        Section("images", "Images", [_gallery(found), *_by_cost(found)]),
        Section("time", "Where the time goes", [_time(found, "ms"), _time(found, "macs")]),
    ]
    shown = [replace(one, panels=[panel for panel in one.panels if panel.missing != NO_GATES]) for one in found_out]
    return [one for one in shown if one.panels]


def _of_classes(found: Findings) -> tuple[Callable[[Findings], Panel], ...]:
    """An image of many classes, each for some of its pixels, is of none of them."""
    if found.pixelwise:
        return (_class_iou,)
    return _differences, _special, _class_macs, _mistakes


def drawn_figures(found: Findings) -> dict[str, Figure]:
    """Every figure of the report by its name."""
    return {
        panel.name: panel.figure for section in sections(found) for panel in section.panels if panel.figure is not None
    }


def _threshold(found: Findings) -> Panel:
    missing = why_no_gates(found) or why_no_labels(found)
    if not missing and not found.points:
        missing = "No threshold moves these gates: they open a fixed number, or differ in their thresholds."
    return Panel(
        "operating_points",
        "More work or less",
        "A gate is open where its [[probability]] is above a [[threshold]]. Move it: every point was measured.",
        "stochastic gates, Fig. 10",
        control="" if missing else "threshold",
        **drawn(missing, lambda: figures.operating_points(found.points, found.own or 0.5)),
    )


def _beside(found: Findings) -> list[Panel]:
    """The frontier, if other networks are known."""
    if not found.context.beside:
        return []
    missing = why_no_labels(found)
    lead = "A point is a network, this one the large orange one. Point at one to see what it is."
    return [Panel("frontier", "Beside other networks", lead, **drawn(missing, lambda: _frontier(found)))]


def _frontier(found: Findings) -> Figure:
    points = [(f"threshold {one.threshold:.2f}", one.accuracy, one.macs) for one in found.points]
    curve = [Point(name, accuracy, macs) for name, accuracy, macs in points if accuracy is not None]
    here = Point(found.context.name, found.seen.accuracy or 0.0, float(found.seen.macs.mean()))
    own = (Series("its other thresholds", tuple(curve)), Series("this network", (here,), "marked"))
    return figures.frontier([*found.context.beside, *own])


def _work(found: Findings) -> Panel:
    same = int(found.seen.macs.min()) == int(found.seen.macs.max())
    missing = why_no_gates(found) or ("Every image costs the same." if same else "")
    return Panel(
        "macs_histogram",
        "Work by image",
        f"How many images cost how many [[multiply-adds]]. Without gates each costs {millions(found.seen.dense_macs)}.",
        **drawn(missing, lambda: figures.macs_histogram(found.seen.macs)),
    )


def _facts() -> Panel:
    return Panel("facts", "In figures", "")


def _layers(found: Findings) -> Panel:
    return Panel(
        "layers",
        "Gates by layer",
        "[[Always on]] gates stay open for at least 99% of the images, [[always off]] ones for at most 1%. "
        "The rest are [[conditional]]: the image decides.",
        "batch shaping, Fig. 5; GaterNet, Fig. 2",
        **drawn(why_no_gates(found), lambda: figures.layers(found.layers)),
    )


def _counted(found: Findings) -> Panel:
    return Panel(
        "layers_counted",
        "The same, counted",
        "How many gates of each kind a layer has.",
        "GaterNet, Fig. 6",
        **drawn(why_no_gates(found), lambda: figures.layers(found.layers, count=True)),
    )


def _firing(found: Findings) -> Panel:
    some = (found.gates["activity"] == "conditional").any()
    missing = why_no_gates(found) or ("" if some else "No gate is conditional: the image decides nothing.")
    return Panel(
        "firing_counts",
        "How often conditional gates fire",
        "For how many images each [[conditional]] gate is open.",
        "GaterNet, Fig. 3",
        **drawn(missing, lambda: figures.firing_counts(found.gates, len(found.seen))),
    )


def _open(found: Findings) -> Panel:
    return Panel(
        "gates_per_image",
        "Open gates by image",
        "How many gates an image opens.",
        "GaterNet, Fig. 4",
        **drawn(why_no_gates(found), lambda: figures.gates_per_image(found.seen)),
    )


def _rates(found: Findings) -> Panel:
    return Panel(
        "rate_histogram",
        "Open rates of gates",
        "How many gates have which [[open rate]]. Where most lie at 0 or 1, the gates are [[polarised]].",
        "stochastic gates, Fig. 9",
        **drawn(why_no_gates(found), lambda: figures.rate_histogram(found.gates)),
    )


def _sure(found: Findings) -> Panel:
    unknown = "The file does not tell these gates' probabilities: it has exits, or its gates open a fixed number."
    missing = why_no_gates(found) or ("" if found.seen.probabilities else unknown)
    own = "the prior that it was trained with" if found.context.prior else "the paper's prior, for comparison"
    return Panel(
        "probabilities",
        "How sure gates are",
        f"The [[probability]] with which gates are open, over all images. Dashed: {own}.",
        "batch shaping, Fig. 1; stochastic gates, section 3.1",
        control="" if missing else "site",
        **drawn(missing, lambda: figures.probabilities(found.seen, found.prior)),
    )


def _history(found: Findings) -> Panel:
    history = found.context.history
    missing = why_no_gates(found) or ("" if history is not None else "Only a run folder with metrics.csv tells this.")
    return Panel(
        "history",
        "Open gates over the training",
        "Which share of the gates was open after each [[epoch]]: thick for all gates of a kind, thin for each layer, "
        "from blue (first) to purple (last).",
        "stochastic gates, Fig. 24 to 27",
        **drawn(missing, lambda: figures.history(history)),  # type: ignore[arg-type]
    )


def _differences(found: Findings) -> Panel:
    missing = why_no_gates(found) or why_no_labels(found) or (TWO_CLASSES if len(found.classes) < 2 else "")
    return Panel(
        "firing_differences",
        "Two classes compared",
        "Choose two classes. Blue gates fire more often for the first, orange ones for the second.",
        "batch shaping, Fig. 6",
        control="" if missing else "classes",
        **drawn(missing, lambda: _difference(found)),
    )


def _difference(found: Findings) -> Figure:
    assert found.rates is not None
    first, second = sorted(found.classes["label"])[:2]
    return figures.firing_differences(figures.shown_gates(found.gates, found.rates), found.rates, first, second)


def _special(found: Findings) -> Panel:
    missing = why_no_gates(found) or why_no_labels(found)
    none = "No gate is open rarely (for at most a quarter of the images), yet for five images or more."
    return Panel(
        "special_gates",
        "Gates for a few",
        "Gates that are rarely open, with the classes and the first images that open them.",
        "batch shaping, Fig. 7",
        missing=missing or ("" if len(found.special) else none),
    )


def _class_iou(found: Findings) -> Panel:
    return Panel(
        "class_iou",
        "Classes of pixels",
        "Which areas it finds: the pixels that answer and label both give to a class, divided by those that either "
        "does. Their mean is the [[mean IoU]].",
        **drawn(why_no_labels(found), lambda: figures.class_iou_bars(found.ious)),
    )


def _class_macs(found: Findings) -> Panel:
    missing = why_no_gates(found) or why_no_labels(found)
    return Panel(
        "class_macs",
        "Work by class",
        "Which classes cost most. The dot is the mean, the bar holds 80% of the images.",
        **drawn(missing, lambda: figures.class_macs(found.classes)),
    )


def _map(found: Findings) -> Panel:
    of = ", coloured by what most of their pixels are called" if found.pixelwise else ""
    few = "It takes ten images, and gates that tell them apart."
    missing = why_no_gates(found) or (few if found.map.empty else "")
    return Panel(
        "gate_map",
        "Map of the images",
        "A dot is an image; images that open the same gates lie close together ([[t-SNE]]). "
        f"{len(found.map):,} images at equal distances{of}.",
        "GaterNet, Fig. 5",
        **drawn(missing, lambda: figures.gate_map_figure(found.map)),
    )


def _gallery(found: Findings) -> Panel:
    label = "mask" if found.pixelwise else "label"
    return Panel(
        "gallery",
        "Images with the most and the least work",
        f"Each with its {label}, what the network says, and its path: a bar for each layer, as high as the share of "
        "its gates that are open.",
        "batch shaping, Fig. 4",
        missing=why_no_gates(found),
    )


def _by_cost(found: Findings) -> list[Panel]:
    missing = why_no_gates(found) or why_no_labels(found)
    of = "pixels" if found.pixelwise else "images"
    rank = "not known" if found.correlation is None else f"{found.correlation:+.2f}"
    return [
        Panel(
            "accuracy_by_cost",
            "Is more work done where it is harder?",
            f"Which share of the {of} is right, in ten parts of the images by their work.",
            **drawn(missing, lambda: figures.by_cost(found.by_cost, "accuracy", "Accuracy by work", "right", True)),
        ),
        Panel(
            "loss_by_cost",
            "And for the network with every gate open?",
            f"Its mean [[loss]] on the same parts. [[Rank correlation]] of work and loss, image by image: {rank}.",
            **drawn(missing, lambda: figures.by_cost(found.by_cost, "dense_loss", "Loss by work", "loss", False)),
        ),
    ]


def _mistakes(found: Findings) -> Panel:
    missing = why_no_labels(found) or ("" if len(found.confusions) else "It is wrong nowhere.")
    return Panel(
        "confusions",
        "Where it is wrong",
        "The most frequent mistakes.",
        **drawn(missing, lambda: figures.confusion_bars(found.confusions)),
    )


def _time(found: Findings, column: str) -> Panel:
    title = {"ms": "Time by block", "macs": "Work by block"}[column]
    lead = {
        "ms": "Milliseconds of an image in each block of the [[engine]]",
        "macs": "[[Multiply-adds]] of an image in each block",
    }[column]
    if not found.seen.sites:
        blocks = found.blocks.query("network == 'dense'")
        return Panel(f"blocks_{column}", title, f"{lead}.", figure=figures.block_bars(blocks, column))
    both = f"{lead}, with gates and without."
    return Panel(f"blocks_{column}", title, both, figure=figures.block_bars(found.blocks, column))
