"""The verb `prune` of the command line."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import jsonargparse
import torch

from sluicegate.convert import GatedModel
from sluicegate.costs import BY_IMAGE, MacModel, Settled
from sluicegate.cutting import load_pruned, save_pruned, settled_gates, with_gates_left, without_gates
from sluicegate.data import DataSpec, Images, Normalize
from sluicegate.errors import InputError
from sluicegate.models import find_pretrained
from sluicegate.terminal import note, show
from sluicegate.train import load_run, load_split, read_run_recipe, read_run_spec
from sluicegate.train.exporting import export_net

_BATCH = 500


@dataclass(frozen=True)
class Pruned:
    """What was written.

    Attributes:
        file: the network.
        gates: how many it had, and how many settled.
        images: so many were looked at.
        dense_macs: of one image without gates, before and after.
    """

    file: str
    gates: int
    settled: int
    images: int
    dense_macs_before: int
    dense_macs: int


def prune(config: jsonargparse.Namespace) -> None:
    """The verb `prune`."""
    folder = find_pretrained(str(config.run))
    net, spec = load_run(folder)[1].eval(), read_run_spec(folder)
    if not isinstance(net, GatedModel):
        raise InputError(f"run: {str(config.run)!r} has no gates, so there is nothing to prune")
    if config.output.suffix not in _WRITERS:
        raise InputError(f"output: {str(config.output)!r} must end in {' or '.join(_WRITERS)}")
    config.output.parent.mkdir(parents=True, exist_ok=True)  # before the images are run, which takes time
    settled = settled_gates(net)
    images = _training_images(folder, config.data_dir) if _left(settled) else None
    if images is not None:
        normalize = Normalize(spec.mean, spec.std)
        batches = (normalize(batch) for batch, _ in images.batches(_BATCH))
        settled = settled_gates(net, batches, config.share)
    dense = _WRITERS[config.output.suffix](net, settled, spec, config.output)
    gates = sum(map(len, settled.values()))
    count = 0 if images is None else len(images)
    found = Pruned(str(config.output), gates, gates - _left(settled), count, net.macs.dense, dense)
    lines = [
        f"{found.settled} of {found.gates} gates have settled over {found.images:,} images",
        f"million MACs with all gates open: {found.dense_macs / 1e6:.2f}, before {found.dense_macs_before / 1e6:.2f}",
        f"file: {found.file}",
    ]
    show(config.json, asdict(found), *lines)


def _left(settled: Settled) -> int:
    """How many gates decide by the image."""
    return sum(int((does == BY_IMAGE).sum()) for does in settled.values())


def _training_images(folder: Path, data_dir: Path | None) -> Images:
    data = read_run_recipe(folder).data
    note(f"looking at the training images of {data.name}")
    return load_split(data, "train", data_dir).plain()


def _write_plain(net: GatedModel, settled: Settled, spec: DataSpec, file: Path) -> int:
    """The plain network, and what builds it; returns its MACs."""
    plain, example = without_gates(net, settled), torch.zeros(1, *spec.shape)
    save_pruned(plain, file, example, {"classes": spec.classes, "mean": spec.mean, "std": spec.std})
    shutil.copyfile(load_pruned.__file__, file.with_name("load_pruned.py"))
    return MacModel(plain, example).dense


def _write_program(net: GatedModel, settled: Settled, spec: DataSpec, file: Path) -> int:
    """The network with the gates that are left, for the engine; returns its MACs with all of them open."""
    smaller = with_gates_left(net, settled)
    export_net(smaller, spec, file)
    return smaller.macs.dense


_WRITERS = {".safetensors": _write_plain, ".sluice": _write_program}
