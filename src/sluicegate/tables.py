"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Column, Table

from sluicegate.bench import Timing
from sluicegate.convert import Survey
from sluicegate.train import Evaluation, Recipe, Result, spread
from sluicegate.train.finetuning import Finetuned

_COSTS = ("accuracy", "dense", "mean", "min", "max", "saved")


def result_tables(measured: Mapping[str, Evaluation | Result]) -> list[Table]:
    """Accuracy and MACs of each network, and how open each of their gates was; of segmentation mean IoU, too, and the
    accuracy is that of pixels."""
    overlaps = any(one.mean_iou is not None for one in measured.values())
    costs = Table(
        "network",
        *([Column("mean IoU", justify="right")] if overlaps else []),
        *(Column("pixels right" if overlaps and name == "accuracy" else name, justify="right") for name in _COSTS),
        box=None,
        title="millions of MACs per image",
    )
    for name, one in measured.items():
        macs = one.macs
        millions = [f"{value / 1e6:.2f}" for value in (macs.dense, macs.mean, macs.min, macs.max)]
        overlap = [] if not overlaps else ["" if one.mean_iou is None else f"{one.mean_iou:.2%}"]
        costs.add_row(name, *overlap, f"{one.accuracy:.2%}", *millions, f"{1 - macs.mean / macs.dense:.0%}")
    gated = {name: one for name, one in measured.items() if one.sites}
    rates = Table("gates of", *(Column(name, justify="right") for name in gated), box=None, title="open rate")
    for site in dict.fromkeys(site for one in gated.values() for site in one.sites):
        rates.add_row(site, *(f"{one.sites[site]:.0%}" if site in one.sites else "" for one in gated.values()))
    return [costs, rates] if gated else [costs]


def spread_line(label: str, repeats: Sequence[Evaluation]) -> str:
    """Mean and standard deviation over repeats, in a line."""
    figures = (f"{name} {figure['mean']:.6g} +- {figure['std']:.2g}" for name, figure in spread(repeats).items())
    return f"{label}, {len(repeats)} times: {', '.join(figures)}"


def recipe_table(made: Sequence[Recipe]) -> Table:
    """Recipes by name, one a line."""
    table = Table(Column("recipe", no_wrap=True), "what it trains", box=None)
    for one in made:
        options = ", ".join(f"{key}={value}" for key, value in one.method.options.items())
        table.add_row(one.name, f"{one.net.name}, {one.data.name}, {one.method.name}({options}), {one.epochs} epochs")
    return table


def finetune_table(found: Finetuned) -> Table:
    """A network before and after it was fine-tuned."""
    table = Table(found.name, *(Column(name, justify="right") for name in ("accuracy", "MACs (M)", "ms")), box=None)
    for label, one in (("as it came", found.before), ("fine-tuned", found.after)):
        table.add_row(label, f"{one.accuracy:.2%}", f"{one.macs / 1e6:.2f}", f"{one.ms:.3f}")
    shares = (found.after.macs / found.before.macs, found.after.ms / found.before.ms)
    table.add_row("", f"{found.after.accuracy - found.before.accuracy:+.2%}", *(f"{share:.0%}" for share in shares))
    return table


def survey_tables(found: Survey) -> list[Table]:
    """Each layer of a network: where its channels can be gated, or why they cannot."""
    table = Table("layer", *(Column(name, justify="right") for name in ("channels", "MACs")), "gates", box=None)
    for row in found.layers:
        table.add_row(row.layer, str(row.channels), f"{row.macs / found.macs:.1%}", row.why_not or f"at={row.place!r}")
    return [table]


def speed_table(milliseconds: Mapping[str, float]) -> Table:
    """Milliseconds an image in the engine, beside the first, which is dense."""
    table = Table("network", *(Column(name, justify="right") for name in ("ms", "of dense")), box=None, title="engine")
    dense = next(iter(milliseconds.values()))
    for name, taken in milliseconds.items():
        table.add_row(name, f"{taken:.3f}", f"{taken / dense:.0%}")
    return table


def slower_than_dense(milliseconds: Mapping[str, float]) -> list[str]:
    """A line for each network whose gates cost more time than they save; the first one is dense."""
    dense, *others = milliseconds.items()
    return [
        f"{name}: slower than without gates ({taken:.3f} ms, {dense[1]:.3f} ms): gates cost more here than they save; "
        "run the dense network, or close more of the gates"
        for name, taken in others
        if taken > dense[1]
    ]


def bench_table(timings: Sequence[Timing]) -> Table:
    """Milliseconds of each contender, beside the fastest float32 peer."""
    columns = ("median ms", "of fastest peer", "MACs (M)", "realised saving", "error")
    table = Table("", *(Column(name, justify="right") for name in columns), box=None)
    for one in timings:
        saving = "" if one.realised_saving is None else f"{one.realised_saving:.2f}"
        error = "" if one.error is None else f"{one.error:.0e}"
        table.add_row(
            one.name, f"{one.median_ms:.3f}", f"{one.over_fastest_peer:.3f}", f"{one.macs / 1e6:.2f}", saving, error
        )
    return table
