"""A finished run as a folder that others can use: what only training needs is left out, a card is written.

Legend: N images, G gates of a site.
"""

import re
import shlex
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sluicegate.analysis import ACTIVITIES, activity
from sluicegate.data import Images, Normalize
from sluicegate.errors import InputError
from sluicegate.files import write_json, write_text
from sluicegate.tasks import task_of
from sluicegate.train import Recipe, Result, load_run, load_split, provenance, read_result, read_run_recipe, to_yaml
from sluicegate.train.exporting import export_net
from sluicegate.train.finetuning import read_finetuned
from sluicegate.train.products import timed_pixels
from sluicegate_runtime import Session, load_program, time_sessions, without_gates


@dataclass(frozen=True)
class GateStatistics:
    """Gates of one site over test images: how many, the share of (image, gate) pairs that are open, and the shares of
    gates that are always open, always closed (for 99 % of the images), or decided by the image."""

    gates: int
    open_rate: float
    always_open: float
    always_closed: float
    conditional: float


def release(run: Path, folder: Path, licence: str, data_dir: Path | None = None) -> Path:
    """Write a finished run as a folder for others; see `sluicegate.models`.

    Args:
        run: the run folder.
        folder: where to; its name is the network's.
        licence: of the weights, and where those that it began with came from.
        data_dir: where its data set is, which is measured and timed on.

    Returns:
        The folder.

    Raises:
        InputError: the run is not finished, the folder exists, or the data set is not found.

    Example:
        >>> release(Path("runs/half"), Path("models/resnet20-cifar10-0.5"), "BSD-2-Clause")
    """
    if folder.exists():
        raise InputError(f"output: {str(folder)!r} exists already; name another folder")
    result, recipe = read_result(run), read_run_recipe(run)
    card = _card(folder.name, run, recipe, result, licence, data_dir)
    folder.mkdir(parents=True)
    for name in ("data.json", "final.safetensors"):
        shutil.copyfile(run / name, folder / name)
    began_with = recipe.net.weights and Path(recipe.net.weights).name
    write_text(folder / "recipe.yaml", to_yaml(replace(recipe, net=replace(recipe.net, weights=began_with))))
    write_json(folder / "result.json", asdict(result) | {"command": without_folders(result.command)})
    write_text(folder / "README.md", card)
    return folder


def without_folders(command: str) -> str:
    """A command line whose paths are file names alone: where things lay on the machine that ran it is nobody's concern.

    Example:
        >>> without_folders("sluicegate finetune resnet20 --weights /data/weights/resnet20.safetensors")
        'sluicegate finetune resnet20 --weights resnet20.safetensors'
    """
    return shlex.join(re.sub(r"^([-\w.]+=)?/.*/", r"\1", word) for word in shlex.split(command))


def gate_statistics(opened: np.ndarray) -> GateStatistics:
    """Of what the gates of one site did: [N, G] bool.

    Example:
        >>> gate_statistics(np.array([[True, False], [True, True]])).conditional
        0.5
    """
    rates = opened.mean(0)  # [G]
    always, conditional, never = (float((activity(rates) == one).mean()) for one in ACTIVITIES)
    return GateStatistics(len(rates), float(rates.mean()), always, never, conditional)


def _card(name: str, run: Path, recipe: Recipe, result: Result, licence: str, data_dir: Path | None) -> str:
    """What a card says: all of it measured or read, but for the licence."""
    test = load_split(recipe.data, "test", data_dir)
    net = load_run(run, spec=test.spec)[1]
    artifact = load_program(export_net(net, test, run / "model.sluice"))
    gated, dense = Session(artifact, threads=1), Session(without_gates(artifact), threads=1)
    milliseconds = time_sessions({"gated": gated, "dense": dense}, timed_pixels(test))
    found = _run_all(gated, test)
    cpu = provenance.machine()["cpu"]
    macs, began = result.macs, _began_with(run)
    lines = [
        f"# {name}",
        "",
        f"{recipe.net.name} on {recipe.data.name}: " + (_gates(recipe) if found.gates else "no gates."),
        "",
        "| | accuracy | million MACs an image | ms an image |",
        "|---|---|---|---|",
        *([f"| as it came | {began:.2%} | {macs.dense / 1e6:.2f} | {milliseconds['dense']:.3f} |"] if began else []),
        f"| {'gated' if found.gates else 'dense'} | {result.accuracy:.2%} | {macs.mean / 1e6:.2f}"
        f" | {milliseconds['gated']:.3f} |",
        "",
        f"Measured on {result.images:,} test images, which chose nothing: the weights are those of the last step.",
        f"In the engine, which runs no closed channel, accuracy is {found.accuracy:.2%}.",
        *([f"Accuracy is that of pixels; mean IoU is {result.mean_iou:.2%}."] if result.mean_iou is not None else []),
        f"Milliseconds: engine, one thread, {cpu}, instruction set {gated.isa}.",
    ]
    if found.gates:
        lines += [
            "",
            f"MACs of an image: {macs.min / 1e6:.2f} to {macs.max / 1e6:.2f} million, standard deviation "
            f"{macs.std / 1e6:.2f}; the network without gates has {macs.dense / 1e6:.2f}.",
            "",
            "| gates | count | open | always open | always closed | decided by the image |",
            "|---|---|---|---|---|---|",
            *(
                f"| {site} | {one.gates} | {one.open_rate:.0%} | {one.always_open:.0%} | {one.always_closed:.0%}"
                f" | {one.conditional:.0%} |"
                for site, one in found.gates.items()
            ),
            "",
            "Always: for at least 99 % of the images.",
        ]
    lines += [
        "",
        "```python",
        "import sluicegate as sg",
        "",
        f'net = sg.load_pretrained("{name}")',
        "```",
        "",
        f"Inputs: {' x '.join(map(str, test.shape))}, less the mean {_numbers(test.mean)}, over {_numbers(test.std)}.",
        "",
        f"Licence: {licence}.",
        "",
        f"Trained for {result.epochs} epochs in {result.seconds / 60:.0f} minutes on {result.machine['cpu']}"
        f" ({', '.join(f'{key} {value}' for key, value in result.versions.items())}), by",
        "",
        f"    {without_folders(result.command)}",
    ]
    return "\n".join(lines) + "\n"


class _Found(NamedTuple):
    accuracy: float
    gates: dict[str, GateStatistics]


def _run_all(session: Session, test: Images) -> _Found:
    """Every test image through the engine."""
    normalize, decided, task = Normalize(test.mean, test.std), {}, task_of(test)
    metric = task.metric(len(test.classes), sync=False)
    for images, labels in test.batches(256):
        answer = session.run(normalize(images).numpy())
        metric.update(torch.from_numpy(answer.output), labels)
        for name, rows in answer.gates.items():
            decided.setdefault(name, []).append(rows)
    gates = {name: gate_statistics(np.concatenate(rows)) for name, rows in decided.items()}
    return _Found(task.scores(metric, test.classes).accuracy, gates)


def _gates(recipe: Recipe) -> str:
    options = ", ".join(f"{key} {value}" for key, value in recipe.method.options.items())
    return f"gates by the method {recipe.method.name}{f' ({options})' if options else ''}."


def _began_with(run: Path) -> float | None:
    """The accuracy of the network that a fine-tune began with."""
    return read_finetuned(run).before.accuracy if (run / "finetune.json").exists() else None


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
