"""The verbs `export` and `release` of the command line."""

import jsonargparse

from sluicegate.models.release import release as release_run
from sluicegate.terminal import show
from sluicegate.train.products import export_run


def export(config: jsonargparse.Namespace) -> None:
    """The verb `export`."""
    file = export_run(config.run, config.output, config.weights, config.threshold)
    show(config.json, {"file": str(file), "bytes": file.stat().st_size}, f"file: {file}")


def release(config: jsonargparse.Namespace) -> None:
    """The verb `release`."""
    folder = release_run(config.run, config.output, config.licence, config.data_dir)
    show(config.json, {"folder": str(folder)}, f"folder: {folder}")
