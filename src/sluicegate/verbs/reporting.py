"""The verb `report` of the command line."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonargparse
import pandas as pd

from sluicegate.analysis import Series, SetSource, Source, find_images
from sluicegate.analysis.arguments import add_arguments
from sluicegate.analysis.command import report_file, write_report
from sluicegate.analysis.findings import Context
from sluicegate.data import Images
from sluicegate.errors import InputError
from sluicegate.models.pretrained import find_pretrained, released
from sluicegate.terminal import show
from sluicegate.train import DataRecipe, Recipe, as_trained_on, load_split, read_run_recipe, read_run_spec
from sluicegate.train.finetuning import read_finetuned
from sluicegate.train.frontiers import run_series
from sluicegate.train.products import export_run
from sluicegate_runtime import Program, load_program
from sluicegate_runtime.preprocess import parse_preprocessing, preprocessing_of


def report(config: jsonargparse.Namespace) -> None:
    """The verb `report`."""
    said = measured(config)
    accuracy = "not known" if said["accuracy"] is None else f"{said['accuracy']:.2%}"
    macs, ms = said["macs"], said["milliseconds"]
    lines = (
        f"accuracy: {accuracy} of {said['images']:,} images{_of_pixels(said['mean_iou'])}",
        f"million MACs an image: {macs['mean'] / 1e6:.2f} of {macs['dense'] / 1e6:.2f}",
        f"milliseconds: {ms['gated']:.3f}, {ms['dense']:.3f} without gates",
    )
    show(config.json, said, *lines, f"report: {said['file']}")


def _of_pixels(mean_iou: float | None) -> str:
    return "" if mean_iou is None else f", by pixels; mean IoU: {mean_iou:.2%}"


def measured(config: Any) -> dict[str, Any]:
    """Report on whatever the target is; see `write_report`.

    Raises:
        InputError: the target is nothing that can be reported on, or the images are not found or do not fit.
    """
    target = Path(config.target)
    if target.is_dir() or config.target in released():
        return _report_run(config, find_pretrained(config.target))
    if target.suffix != ".sluice":
        raise InputError(f"report: {config.target!r} is neither a run folder nor a .sluice file")
    beside = _beside(config, config.data)
    if config.data is None or Path(config.data).is_dir():
        return report_file(config, beside)
    artifact = load_program(target)
    context = Context(target.stem, _of(config.data), beside=beside)
    return write_report(config, artifact, _set_for(config, artifact.program), context)


def report_run(folder: Path, page: Path) -> Path:
    """Report on a run with all options left out; returns `page`."""
    options = jsonargparse.ArgumentParser()
    add_arguments(options)
    return Path(measured(options.parse_args([str(folder), "-o", str(page)]))["file"])


def _report_run(config: Any, folder: Path) -> dict[str, Any]:
    recipe = read_run_recipe(folder)
    with tempfile.TemporaryDirectory() as scratch:
        artifact = load_program(export_run(folder, Path(scratch) / "model.sluice"))
    images, data = _images_of(config, folder, recipe, artifact.program)
    name = config.target if config.target in released() else recipe.name
    context = replace(_context(folder, recipe, name, data), beside=_beside(config, config.data or recipe.data.name))
    return write_report(config, artifact, images, context)


def _beside(config: Any, data: str | None) -> tuple[Series, ...]:
    """The runs that are drawn beside; InputError if they are of another data set than `data`, if that is known."""
    sets = {read_run_recipe(folder).data.name for folder in config.beside}
    if data is not None and not Path(data).is_dir() and (other := sorted(sets - {data})):
        raise InputError(
            f"beside: a run has the data set {other[0]}, but this report {data}; a frontier needs a single data set"
        )
    return tuple(run_series(config.beside))


def _images_of(config: Any, folder: Path, recipe: Recipe, program: Program) -> tuple[Source, str]:
    """The images that are asked for, else the run's own test images; and what they are."""
    if config.data is not None and Path(config.data).is_dir():
        return find_images(Path(config.data), program, None, config.limit), f"images of {Path(config.data).name}"
    data = _limited(config, replace(recipe.data, name=config.data or recipe.data.name))
    images = as_trained_on(load_split(data, "test", config.data_dir), read_run_spec(folder))
    return SetSource(images), _of(data.name)


def _set_for(config: Any, program: Program) -> Source:
    """A data set by its name, prepared as a file says."""
    how = preprocessing_of(program, config.preprocessing and parse_preprocessing(config.preprocessing))
    side = program.shape(program.input)[1]
    images: Images = load_split(_limited(config, DataRecipe(config.data, size=side)), "test", config.data_dir)
    channels = images.shape[0]
    return SetSource(replace(images, mean=how.mean or (0.0,) * channels, std=how.std or (1.0,) * channels))


def _limited(config: Any, data: DataRecipe) -> DataRecipe:
    return data if config.limit is None else replace(data, limit_test=config.limit)


def _of(data: str) -> str:
    return f"test images of {data}"


def _context(folder: Path, recipe: Recipe, name: str, data: str) -> Context:
    metrics, options = folder / "metrics.csv", recipe.method.options
    shaped = recipe.method.name == "batch_shaping"
    return Context(
        name,
        data,
        history=pd.read_csv(metrics) if metrics.exists() else None,
        accuracy_before=read_finetuned(folder).before.accuracy if (folder / "finetune.json").exists() else None,
        prior=(float(options.get("a", 0.6)), float(options.get("b", 0.4))) if shaped else None,
    )
