"""The verb `info` of the command line: what is in a `.sluice` file or a run folder."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonargparse

from sluicegate.errors import InputError
from sluicegate.models import find_pretrained, released
from sluicegate.terminal import show
from sluicegate.train import read_result, read_run_recipe, read_run_spec
from sluicegate_runtime import contents


def info(config: jsonargparse.Namespace) -> None:
    """The verb `info`."""
    if config.target.is_dir() or str(config.target) in released():
        found = describe_run(find_pretrained(str(config.target)))
        show(config.json, found, *_in_words(found))
    elif config.target.exists():
        contents.command(config)
    else:
        raise InputError(f"target: {str(config.target)!r} is neither a .sluice file nor a run folder")


def describe_run(folder: Path) -> dict[str, Any]:
    """What a run folder holds, as plain values.

    Returns:
        `recipe` (all of it), `data` (input shape, classes, mean and std), `result` (None of a run that is not
        finished), `files` (name -> bytes).

    Raises:
        InputError: the folder holds no run, or a damaged one.
    """
    result = read_result(folder) if (folder / "result.json").exists() else None
    return {
        "folder": str(folder),
        "recipe": asdict(read_run_recipe(folder)),
        "data": asdict(read_run_spec(folder)),
        "result": result and asdict(result),
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()},
    }


def _in_words(found: Mapping[str, Any]) -> Iterator[str]:
    recipe, data, result = found["recipe"], found["data"], found["result"]
    method = recipe["method"]
    options = ", ".join(f"{key}={value}" for key, value in method["options"].items())
    yield contents.line("folder", f"{found['folder']}, {sum(found['files'].values()) / 1e6:.2f} MB")
    yield contents.line("recipe", f"{recipe['name']}: {recipe['net']['name']}, {method['name']}({options})")
    yield contents.line("data", f"{recipe['data']['name']}, {contents.sides(data['shape'])}")
    yield contents.line("classes", ", ".join(data["classes"]))
    yield from _result_in_words(result, recipe["epochs"])
    yield contents.line("files", ", ".join(f"{name} ({size:,})" for name, size in found["files"].items()))


def _result_in_words(result: Mapping[str, Any] | None, epochs: int) -> Iterator[str]:
    if result is None:
        yield contents.line("epochs", f"{epochs}, not finished; train --resume goes on")
        return
    macs = result["macs"]
    yield contents.line("epochs", f"{result['epochs']}, in {result['seconds']:,.0f} seconds")
    yield contents.line("accuracy", f"{result['accuracy']:.2%} of {result['images']:,} images")
    yield contents.line("MACs", f"{macs['mean']:,.0f} an image, of {macs['dense']:,} without gates")
    for kind, rate in result["open_rate"].items():
        yield contents.line(f"open {kind} gates", f"{rate:.0%}")
